//! Rows as rabbitmqctl prints them: a tab between columns.

pub(super) fn tabbed(header: Option<&[&str]>, rows: &[Vec<String>]) -> String {
    let mut out = String::new();
    if let Some(names) = header {
        out.push_str(&names.join("\t"));
        out.push('\n');
    }
    for row in rows {
        // What would break the table is shown escaped.
        let cells = row
            .iter()
            .map(|cell| cell.replace('\t', "\\t").replace('\n', "\\n"));
        out.push_str(&cells.collect::<Vec<_>>().join("\t"));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_break_the_table() {
        let rows = [vec!["a\tb".to_owned(), "c\nd".to_owned()]];
        assert_eq!(tabbed(Some(&["x", "y"]), &rows), "x\ty\na\\tb\tc\\nd\n");
        assert_eq!(tabbed(None, &[]), "");
    }
}
