//! A table's text, and its place in a file.

use super::TableError;

/// The line before a table that is put into a file.
pub const BEGIN: &str = "<!-- made by virt-aa-conform table -->";
/// The line after the table.
pub const END: &str = "<!-- end of the table -->";

/// A table. Its first row is the heading.
pub fn table(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().map(|cell| cell_text(cell)).collect();
        text += &format!("| {} |\n", cells.join(" | "));
        if index == 0 {
            text += &format!("|{}\n", "---|".repeat(row.len()));
        }
    }
    text
}

/// Text on one line that does not end the cell.
fn cell_text(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;")
}

/// The text between the two lines.
pub fn between(text: &str) -> Option<&str> {
    let (_, behind) = text.split_once(&format!("{BEGIN}\n"))?;
    Some(behind.split_once(&format!("{END}\n"))?.0)
}

/// The text with the table between the two lines.
pub fn put_between(file: &str, text: &str, table: &str) -> Result<String, TableError> {
    let old = between(text).ok_or_else(|| TableError::NoPlace {
        file: file.to_owned(),
        begin: BEGIN,
        end: END,
    })?;
    let whole = |table: &str| format!("{BEGIN}\n{table}{END}\n");
    Ok(text.replacen(&whole(old), &whole(table), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_cell_does_not_end_it() {
        let rows = [
            vec!["a|b".to_owned(), "c\nd".to_owned()],
            vec!["<e".into(), "f".into()],
        ];
        assert_eq!(table(&rows), "| a\\|b | c d |\n|---|---|\n| &lt;e | f |\n");
    }

    #[test]
    fn a_table_is_put_in_its_place_and_nowhere_else() {
        let text = format!("head\n{BEGIN}\nold\n{END}\nfoot\n");
        let new = put_between("f", &text, "new\n").unwrap();
        assert_eq!(new, format!("head\n{BEGIN}\nnew\n{END}\nfoot\n"));
        assert_eq!(between(&new), Some("new\n"));
        for lacking in ["", &format!("{BEGIN}\n"), &format!("{END}\n{BEGIN}\n")] {
            let error = put_between("f", lacking, "").unwrap_err().to_string();
            assert!(error.starts_with("f: no line `<!-- made by"), "{error}");
        }
    }
}
