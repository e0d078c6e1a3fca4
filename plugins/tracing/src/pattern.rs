//! Whether a topic pattern fits a routing key: words between dots, `*` for one, `#` for any number.

pub fn matches(pattern: &str, key: &str) -> bool {
    let pattern: Vec<&str> = words(pattern);
    let key: Vec<&str> = words(key);
    // Which prefixes of the key the pattern's words so far fit.
    let mut fits = vec![false; key.len() + 1];
    if let Some(nothing) = fits.first_mut() {
        *nothing = true;
    }
    for word in pattern {
        let mut next = vec![false; fits.len()];
        for at in 0..fits.len() {
            let before = |list: &[bool]| at > 0 && list.get(at - 1).copied().unwrap_or(false);
            let here = fits.get(at).copied().unwrap_or(false);
            let fit = match word {
                "#" => here || before(&next),
                "*" => before(&fits),
                word => before(&fits) && key.get(at.wrapping_sub(1)) == Some(&word),
            };
            if let Some(place) = next.get_mut(at) {
                *place = fit;
            }
        }
        fits = next;
    }
    fits.last().copied().unwrap_or(false)
}

fn words(text: &str) -> Vec<&str> {
    match text {
        "" => Vec::new(),
        text => text.split('.').collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_fit_as_those_of_a_topic_exchange() {
        for (pattern, key) in [
            ("#", "publish."),
            ("#", ""),
            ("publish.#", "publish.amq.direct"),
            ("publish.#", "publish"),
            ("publish.*", "publish."),
            ("deliver.q", "deliver.q"),
            ("#.direct", "publish.amq.direct"),
            ("*.#.*", "a.b"),
            ("#.#", "a"),
        ] {
            assert!(matches(pattern, key), "{pattern} {key}");
        }
        for (pattern, key) in [
            ("publish.*", "publish.amq.direct"),
            ("deliver.#", "publish.x"),
            ("*", "a.b"),
            ("", "a"),
            ("*.#.*", "a"),
        ] {
            assert!(!matches(pattern, key), "{pattern} {key}");
        }
    }
}
