//! What sources of pictures have in common.

use stein_core::Invalid;

/// Pixels are 0 to 255.
pub(crate) const VALUES: f32 = 256.0;

/// What values are divided by: dequantised, (v + u)/256 lies in [0, 1); as they are, v/255 in [0, 1].
pub(crate) fn divisor(dequantize: bool) -> f32 {
    if dequantize { VALUES } else { VALUES - 1.0 }
}

/// Means of blocks of a square channel, rounded to whole levels.
pub(crate) fn means(channel: &[u8], side: usize, block: usize) -> Vec<u8> {
    let (size, count) = (side / block, (block * block) as u32);
    let pixel = |i: usize| {
        let (y, x) = (block * (i / size), block * (i % size));
        let sum: u32 = (0..block * block).map(|j| u32::from(channel[(y + j / block) * side + x + j % block])).sum();
        // Means of bytes are bytes.
        ((sum + count / 2) / count) as u8
    };
    (0..size * size).map(pixel).collect()
}

/// Refuses a size that is none of those that there are, and a part without rows.
pub(crate) fn check(size: usize, sizes: &[usize], rows: [(&str, usize); 2]) -> Result<(), Invalid> {
    if !sizes.contains(&size) {
        let known: Vec<String> = sizes.iter().map(usize::to_string).collect();
        let [most @ .., last] = &known[..] else { unreachable!("there is a size") };
        return Err(Invalid::key("size", format!("`size` is {size}; it must be {} or {last}", most.join(", "))));
    }
    match rows.into_iter().find(|(_, rows)| *rows == 0) {
        Some((key, _)) => Err(Invalid::key(key, format!("`{key}` is 0; there must be a row"))),
        None => Ok(()),
    }
}

/// Refuses logits of values that are few: they would have no density.
pub(crate) fn check_logit(logit: bool, dequantize: bool) -> Result<(), Invalid> {
    if logit && !dequantize {
        return Err(Invalid::key("logit", "`logit` is of dequantised values; set dequantize = true"));
    }
    Ok(())
}

/// The command that brings the files of a kind into a folder.
pub(crate) fn fetch(kind: &str, folder: &std::path::Path) -> String {
    let usual = crate::files::set(kind).is_some_and(|set| std::path::Path::new(set.folder) == folder);
    let to = if usual { String::new() } else { format!(" --to {}", folder.display()) };
    format!("stein data fetch {kind}{to}")
}
