//! The counts as a table.

use super::Report;

const COLUMNS: [&str; 14] = [
    "run",
    "rounds",
    "published",
    "confirmed",
    "delivered",
    "lost",
    "dup flagged",
    "unflagged",
    "repeated",
    "misordered",
    "early",
    "unexpected",
    "nacked",
    "min confirm",
];

pub fn print_table(rows: &[(&str, Report)]) {
    let cells = |name: &str, report: &Report| -> Vec<String> {
        let numbers = [
            report.rounds,
            report.published,
            report.confirmed,
            report.delivered,
            report.lost,
            report.flagged_duplicates,
            report.unflagged_duplicates,
            report.repeated,
            report.out_of_order,
            report.early,
            report.unexpected,
            report.nacked,
        ];
        let fastest = report.min_confirm.unwrap_or_default();
        let mut cells = vec![name.to_owned()];
        cells.extend(numbers.map(|number| number.to_string()));
        cells.push(format!("{:.1} ms", fastest.as_secs_f64() * 1000.0));
        cells
    };
    let mut lines = vec![COLUMNS.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(|(name, report)| cells(name, report)));
    for line in lines {
        let line: Vec<String> = line
            .iter()
            .enumerate()
            .map(|(column, cell)| {
                if column == 0 {
                    format!("{cell:<28}")
                } else {
                    format!("{cell:>11}")
                }
            })
            .collect();
        println!("{}", line.join(" "));
    }
}
