//! Text from files, made fit to be shown.

/// The text with control and invisible directional characters written as `\u{…}`, so that what a reader sees is what
/// is there. (Escaping for HTML is maud's.)
pub(crate) fn visible(text: &str) -> String {
    map(text, |_| false)
}

/// The same for a text of several lines.
pub(crate) fn visible_lines(text: &str) -> String {
    map(text, |c| matches!(c, '\n' | '\t'))
}

fn map(text: &str, keep: impl Fn(char) -> bool) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if !keep(c) && (c.is_control() || is_invisible(c)) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
        out
    })
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with a capital first letter.
pub(crate) fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}

/// A relative link to a file of that name: everything but unreserved characters percent-encoded.
pub(crate) fn href(file: &str) -> String {
    file.bytes().fold(String::with_capacity(file.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
        out
    })
}

/// `n thing` or `n things`.
pub(crate) fn count(n: usize, thing: &str) -> String {
    format!("{} {thing}{}", crate::number::grouped(n as f64), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_show() {
        assert_eq!(visible("a\u{202e}b\n"), "a\\u{202e}b\\u{a}");
        assert_eq!(visible_lines("a\nb\u{7}"), "a\nb\\u{7}");
        assert_eq!(visible("שלום σ"), "שלום σ");
        assert_eq!(href("a b/<é>.html"), "a%20b%2F%3C%C3%A9%3E.html");
        assert_eq!((count(1, "step"), count(1500, "step")), ("1 step".into(), "1,500 steps".into()));
    }
}
