//! Labels as parts of a folder's name.

/// Characters that a cell's name has at most before its hash, and one axis's part of it.
const LONGEST: usize = 80;
const LONGEST_PART: usize = 30;

/// The part of one axis: a key's value says which key, a table's label is enough.
pub(super) fn of(key: Option<&str>, label: &str) -> String {
    let label = match label.strip_prefix('-') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') => format!("minus {rest}"),
        _ => label.to_owned(),
    };
    match key.filter(|key| *key != "kind") {
        Some(key) => plain(&format!("{key} {label}"), LONGEST_PART),
        None => plain(&label, LONGEST_PART),
    }
}

/// All parts of a cell's name; those that have no letter that a folder may have are left to the hash.
pub(super) fn join<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let name = plain(&parts.join(" "), LONGEST);
    // Some systems reserve names whose stem, up to the first dot, is that of a device.
    if crate::checked_name(&name).is_ok() { name } else { plain(&format!("cell {name}"), LONGEST) }
}

fn plain(text: &str, longest: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            'A'..='Z' => out.push(c.to_ascii_lowercase()),
            'a'..='z' | '0'..='9' | '.' | '_' => out.push(c),
            c => match greek(c) {
                Some(name) => out.push_str(name),
                None if out.ends_with('-') || out.is_empty() => {}
                None => out.push('-'),
            },
        }
    }
    out.truncate(longest);
    out.trim_matches(['-', '.']).to_owned()
}

fn greek(letter: char) -> Option<&'static str> {
    Some(match letter {
        'α' => "alpha",
        'β' => "beta",
        'γ' => "gamma",
        'ε' => "epsilon",
        'η' => "eta",
        'λ' => "lambda",
        'ρ' => "rho",
        'σ' => "sigma",
        _ => return None,
    })
}
