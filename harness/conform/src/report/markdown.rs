//! A summary in Markdown: the counts, a table of the entries that are not good, and the details of red ones.

use std::fmt::Write;

use super::outline::{Entry, EntryStatus, Outline, one_line};

/// GitHub rejects a step's summary of more than 1 MiB.
const MOST_DETAILS: usize = 768 * 1024;

/// The text.
pub fn text(outline: &Outline) -> String {
    // Writing to a string cannot fail.
    let mut text = String::new();
    let bad = outline
        .entries
        .iter()
        .filter(|entry| entry.standing.is_bad())
        .count();
    let mark = if bad == 0 { "✅" } else { "❌" };
    let _ = writeln!(text, "## {mark} virt-aa-conform on {}\n", inline(&outline.recipe));
    let _ = writeln!(text, "{}\n", inline(&outline.heading));
    let _ = writeln!(text, "**{}**", inline(&outline.closing));
    let rest: Vec<&Entry> = outline
        .entries
        .iter()
        .filter(|entry| entry.standing != EntryStatus::Good)
        .collect();
    if rest.is_empty() {
        return text;
    }
    text.push_str("\n| | | |\n|---|---|---|\n");
    for entry in &rest {
        let _ = writeln!(
            text,
            "| {} {} | {} | {} |",
            sign(entry.standing),
            entry.word,
            inline(&entry.name),
            inline(entry.message.as_deref().unwrap_or_default()),
        );
    }
    let mut left = rest.iter().filter(|entry| !entry.details.is_empty());
    for entry in left.by_ref() {
        if text.len() > MOST_DETAILS {
            let _ = writeln!(
                text,
                "\nThere is more: {} and {} besides.",
                inline(&entry.name),
                left.count()
            );
            break;
        }
        details(entry, &mut text);
    }
    text
}

fn details(entry: &Entry, text: &mut String) {
    let lines = entry.message.iter().chain(&entry.details);
    let body: String = lines.map(|line| format!("{line}\n")).collect();
    let fence = "`".repeat(longest_run(&body).max(2) + 1);
    let _ = writeln!(
        text,
        "\n<details><summary>{} {}</summary>\n\n{fence}text\n{body}{fence}\n\n</details>",
        entry.word,
        html(&entry.name)
    );
}

fn sign(standing: EntryStatus) -> &'static str {
    match standing {
        EntryStatus::Good => "✅",
        EntryStatus::Red => "❌",
        EntryStatus::Broken => "💥",
        EntryStatus::Known => "⚠️",
        EntryStatus::PassedOver => "⏭️",
    }
}

/// Text from outside on one line, without markup of Markdown or HTML.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in one_line(text).chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' => out.extend(['\\', character]),
            '@' => out.push_str("&#64;"),
            other => push_html(other, &mut out),
        }
    }
    out
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    one_line(text)
        .chars()
        .for_each(|character| push_html(character, &mut out));
    out
}

fn push_html(character: char, out: &mut String) {
    match character {
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '&' => out.push_str("&amp;"),
        other => out.push(other),
    }
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`')
        .map(str::len)
        .max()
        .unwrap_or(0)
}
