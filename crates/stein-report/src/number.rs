//! Numbers as a reader wants them.

use stein_record::Estimate;

/// `value ± standard error`, both to the error's second digit.
pub(crate) fn estimate(estimate: &Estimate) -> String {
    let Estimate { value, standard_error } = *estimate;
    if !value.is_finite() {
        return "not finite".into();
    }
    if !(standard_error.is_finite() && standard_error > 0.0) {
        return significant(value, 3);
    }
    let decimals = 1 - standard_error.log10().floor() as i32;
    // An error of a thousandth of a millionth says nothing in a table; nor do digits after a large one.
    let decimals = decimals.clamp(0, 9) as usize;
    if decimals > 6 || value.abs() >= 1e6 {
        return format!("{} ± {}", significant(value, resolved(value, standard_error)), significant(standard_error, 2));
    }
    minus(format!("{value:.decimals$} ± {standard_error:.decimals$}"))
}

/// The digits of a value down to its error's second one: at least 3, at most 6.
fn resolved(value: f64, error: f64) -> usize {
    let exponent = |x: f64| if x == 0.0 { 0.0 } else { x.abs().log10().floor() };
    (exponent(value) - exponent(error) + 2.0).clamp(3.0, 6.0) as usize
}

/// The number to so many significant digits, in plain notation where that is short.
pub(crate) fn significant(x: f64, digits: usize) -> String {
    if !x.is_finite() {
        return "not finite".into();
    }
    if x == 0.0 {
        return "0".into();
    }
    let exponent = x.abs().log10().floor() as i32;
    if (-4..6).contains(&exponent) {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        return minus(format!("{x:.decimals$}"));
    }
    let text = format!("{x:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    minus(format!("{mantissa}×10{}", superscript(exponent)))
}

/// The number for a program; none if it is not finite.
pub(crate) fn exact(x: f64) -> Option<String> {
    x.is_finite().then(|| format!("{x:?}"))
}

/// A value that others are held against: as many digits as theirs have, without trailing zeros.
pub(crate) fn goal(x: f64) -> String {
    let text = significant(x, 4);
    let (digits, power) = text.split_once('×').map_or((text.as_str(), None), |(d, p)| (d, Some(p)));
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    power.map_or(digits.to_owned(), |power| format!("{digits}×{power}"))
}

/// The shortest text for a tick: no trailing zeros, powers of ten when plain notation is long.
pub(crate) fn tick(x: f64) -> String {
    if x == 0.0 {
        return "0".into();
    }
    let magnitude = x.abs();
    if (1e-3..1e5).contains(&magnitude) {
        let text = format!("{x:.6}");
        let short =
            if magnitude >= 1e4 { grouped(x) } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() };
        return minus(short);
    }
    let text = format!("{x:.1e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa = mantissa.trim_end_matches(".0");
    let power = format!("10{}", superscript(exponent));
    minus(match mantissa {
        "1" => power,
        "-1" => format!("-{power}"),
        other => format!("{other}×{power}"),
    })
}

/// A whole number with commas.
pub(crate) fn grouped(x: f64) -> String {
    let digits = format!("{:.0}", x.abs());
    let mut out = if x < 0.0 { String::from("-") } else { String::new() };
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A noise level.
pub(crate) fn sigma(x: f64) -> String {
    format!("σ = {}", short_sigma(x))
}

/// A noise level without its name.
pub(crate) fn short_sigma(x: f64) -> String {
    if x == 0.0 { "0".into() } else { significant(x, if x.abs() < 1.0 { 2 } else { 3 }) }
}

/// Seconds.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".into();
    }
    match seconds {
        s if s > 0.0 && s < 0.1 => format!("{} ms", significant(1e3 * s, 2)),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min {:.0} s", (s / 60.0).floor(), s % 60.0),
        s => format!("{:.0} h {:.0} min", (s / 3600.0).floor(), (s % 3600.0) / 60.0),
    }
}

/// Bytes, in decimal units.
pub(crate) fn bytes(n: u64) -> String {
    let n = n as f64;
    match n {
        n if n >= 1e9 => format!("{:.2} GB", n / 1e9),
        n if n >= 1e6 => format!("{:.0} MB", n / 1e6),
        n => format!("{:.0} kB", n / 1e3),
    }
}

fn minus(text: String) -> String {
    text.replace('-', "−")
}

fn superscript(digits: &str) -> String {
    let one = |c| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4'..='9' => char::from_u32(0x2070 + u32::from(c) - u32::from('0')).unwrap_or(c),
        _ => '⁰',
    };
    digits.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates() {
        let text = |v, se| estimate(&Estimate::new(v, se));
        assert_eq!(text(0.88123, 0.0123), "0.881 ± 0.012");
        assert_eq!(text(-0.00031, 0.0005), "−0.00031 ± 0.00050");
        assert_eq!(text(123.4, 45.0), "123 ± 45");
        assert_eq!(text(0.5, f64::NAN), "0.500");
        assert_eq!(text(f64::NAN, 1.0), "not finite");
        assert_eq!(text(3e-9, 1e-10), "3.00×10⁻⁹ ± 1.0×10⁻¹⁰");
        assert_eq!(text(1e300, 1e290), "1.00000×10³⁰⁰ ± 1.0×10²⁹⁰");
        // As many digits as the error tells apart, though it is tiny.
        assert_eq!(text(-39.949_812, 4.8e-6), "−39.9498 ± 4.8×10⁻⁶");
        assert_eq!(text(-39.9573, 0.0074), "−39.9573 ± 0.0074");
        assert_eq!(text(2.5e-7, 1e-7), "2.50×10⁻⁷ ± 1.0×10⁻⁷");
    }

    #[test]
    fn goals_have_the_digits_of_values() {
        let said = [1.194_97, 0.5, 0.0, -2.0, 1200.0, 0.9, 2.5e-7].map(goal);
        assert_eq!(said, ["1.195", "0.5", "0", "−2", "1200", "0.9", "2.5×10⁻⁷"]);
    }

    #[test]
    fn ticks_and_units() {
        assert_eq!(
            ["0.02", "4", "10,000", "10⁵", "2×10⁻⁴", "−0.5"],
            [0.02, 4.0, 1e4, 1e5, 2e-4, -0.5].map(tick).each_ref().map(String::as_str)
        );
        assert_eq!(grouped(305_123.0), "305,123");
        assert_eq!(duration(75.4), "75 s");
        assert_eq!((duration(0.031), duration(0.0)), ("31 ms".into(), "0.0 s".into()));
        assert_eq!(duration(3725.0), "62 min 5 s");
        assert_eq!(duration(f64::NAN), "unknown");
        assert_eq!(bytes(1_480_000_000), "1.48 GB");
        assert_eq!(sigma(0.0231), "σ = 0.023");
    }
}
