//! `warren ctl`: rabbitmqctl's verbs over the management API. Knows nothing of the broker's insides:
//! it works as well against another machine's.

mod client;
mod lists;
mod table;
mod verbs;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

use client::Client;
use lists::{LISTS, List};
use verbs::{VERBS, Verb};

use crate::cli::{say, say_text};

#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What to do, as rabbitmqctl calls it; `warren ctl help` lists everything
    #[arg(default_value = "help")]
    pub verb: String,
    /// Names and values, or the columns of a list
    pub words: Vec<String>,
    /// Virtual host
    #[arg(short = 'p', long, default_value = "/")]
    pub vhost: String,
    /// Of the management API
    #[arg(
        long,
        env = "WARREN_CTL_ADDRESS",
        default_value = "127.0.0.1:15672",
        value_name = "HOST:PORT"
    )]
    pub address: String,
    #[arg(short, long, env = "WARREN_CTL_USER", default_value = "guest")]
    pub user: String,
    #[arg(
        long,
        env = "WARREN_CTL_PASSWORD",
        default_value = "guest",
        hide_env_values = true
    )]
    pub password: String,
    /// Lists as JSON
    #[arg(long)]
    pub json: bool,
    /// Without saying what is done
    #[arg(short, long)]
    pub quiet: bool,
    /// Without names of columns too
    #[arg(short, long)]
    pub silent: bool,
    /// Of a policy
    #[arg(long, default_value_t = 0)]
    pub priority: i64,
    /// Of a policy: all, queues, exchanges, classic_queues, quorum_queues, streams
    #[arg(long, default_value = "all")]
    pub apply_to: String,
}

/// All there are, for shells.
pub fn verbs() -> Vec<&'static str> {
    let lists = LISTS.iter().map(|list| list.verb);
    lists.chain(VERBS.iter().map(|verb| verb.name)).collect()
}

pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client {
        address: options.address.clone(),
        user: options.user.clone(),
        password: options.password.clone(),
    };
    let verb = options.verb.as_str();
    if matches!(verb, "help" | "--help") {
        say(help());
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(list) = LISTS.iter().find(|list| list.verb == verb) {
        return show(list, &client, options);
    }
    let Some(found) = VERBS.iter().find(|found| found.name == verb) else {
        bail!(
            "there is no '{verb}'{}; `warren ctl help` lists everything",
            nearest(verb)
        );
    };
    check_words(found, &options.words)?;
    if !options.quiet && !options.silent {
        eprintln!("{} ...", (found.says)(options));
    }
    let said = (found.run)(&client, options)?;
    if !said.is_empty() {
        say(said);
    }
    Ok(ExitCode::SUCCESS)
}

fn check_words(verb: &Verb, words: &[String]) -> anyhow::Result<()> {
    let wanted: Vec<&str> = verb.words.split_whitespace().collect();
    let least = wanted.iter().filter(|word| !word.starts_with('[')).count();
    let open_ended = verb.words.ends_with("...]");
    if words.len() < least || (words.len() > wanted.len() && !open_ended) {
        bail!("usage: warren ctl {} {}", verb.name, verb.words);
    }
    Ok(())
}

fn show(list: &List, client: &Client, options: &Options) -> anyhow::Result<ExitCode> {
    let columns = list.columns(options)?;
    let path = list.path(options)?;
    let rows = client.get(&path)?;
    let Value::Array(rows) = rows else {
        bail!("the API has answered with no list: {rows}");
    };
    if options.json {
        let picked = rows.iter().map(|row| lists::picked(row, &columns));
        say(Value::Array(picked.collect()));
        return Ok(ExitCode::SUCCESS);
    }
    if !options.quiet && !options.silent {
        say(format_args!("{} ...", list.title(options)));
    }
    let rows: Vec<Vec<String>> = rows.iter().map(|row| lists::cells(row, &columns)).collect();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    // rabbitmqctl says nothing of the columns of nothing.
    let header = (!options.silent && !rows.is_empty()).then_some(names.as_slice());
    say_text(table::tabbed(header, &rows));
    Ok(ExitCode::SUCCESS)
}

fn nearest(verb: &str) -> String {
    let names = VERBS.iter().map(|verb| verb.name);
    let names = names.chain(LISTS.iter().map(|list| list.verb));
    let best = names.max_by(|a, b| {
        let likeness = |name: &str| strsim::jaro_winkler(name, verb);
        likeness(a).total_cmp(&likeness(b))
    });
    let best = best.filter(|name| strsim::jaro_winkler(name, verb) > 0.8);
    best.map_or_else(String::new, |name| format!(" (is it '{name}'?)"))
}

fn help() -> String {
    let mut lines = vec![
        "warren ctl VERB [WORDS] [-p VHOST] [--json] [-q] [-s]".to_owned(),
        String::new(),
    ];
    for list in LISTS {
        lines.push(format!("  {} [columns]", list.verb));
    }
    for verb in VERBS {
        lines.push(
            format!("  {} {}", verb.name, verb.words)
                .trim_end()
                .to_owned(),
        );
    }
    lines.join("\n")
}

/// JSON out of a word, with the word in the error.
fn json(word: &str) -> anyhow::Result<Value> {
    serde_json::from_str(word).with_context(|| format!("'{word}' is no JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_that_is_nearly_right_is_named() {
        assert_eq!(nearest("list_quues"), " (is it 'list_queues'?)");
        assert_eq!(nearest("xyz"), "");
    }

    #[test]
    fn too_few_and_too_many_words_are_refused() {
        let words = |count: usize| vec!["x".to_owned(); count];
        let verb = |name: &str| VERBS.iter().find(|verb| verb.name == name).expect(name);
        assert!(check_words(verb("add_user"), &words(1)).is_err());
        assert!(check_words(verb("add_user"), &words(2)).is_ok());
        assert!(check_words(verb("add_user"), &words(3)).is_err());
        assert!(check_words(verb("set_user_tags"), &words(5)).is_ok());
        assert!(check_words(verb("set_user_tags"), &words(1)).is_ok());
    }
}
