//! Names that become folders.

/// Checks that a name can be a folder anywhere.
///
/// # Errors
/// What is wrong with it.
pub fn checked_name(name: &str) -> Result<&str, String> {
    const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];
    let lower = name.to_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let device =
        |prefix| stem.strip_prefix(prefix).is_some_and(|n: &str| n.len() == 1 && n.chars().all(|c| c.is_ascii_digit()));
    if name.is_empty() || name.len() > 100 {
        return Err(format!("the name has {} characters; it must have 1 to 100", name.len()));
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Err(format!("the name {name:?} becomes a folder; letters, digits, `-`, `_` and `.` are allowed"));
    }
    if name.starts_with(['.', '-']) || name.ends_with('.') {
        return Err(format!("the name {name:?} becomes a folder; it must not begin with `.` or `-` or end with `.`"));
    }
    if RESERVED.contains(&stem) || device("com") || device("lpt") {
        return Err(format!("the name {name:?} is reserved on some systems"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::checked_name;

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for good in ["digits", "a-b_c.2", "comet"] {
            assert!(checked_name(good).is_ok(), "{good}");
        }
        for bad in ["", "..", ".hidden", "a/b", "a\\b", "con", "COM1.txt", "x.", "é", "-rf", "a\nb"] {
            assert!(checked_name(bad).is_err(), "{bad:?}");
        }
    }
}
