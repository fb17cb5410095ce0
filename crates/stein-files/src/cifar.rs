//! The binary version of CIFAR-10 and CIFAR-100 (Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images).
//!
//! A file is records of one label (CIFAR-10) or two (CIFAR-100: coarse, then fine) and 3072 bytes: 32×32 of red, of green, of blue,
//! row by row.

/// Pixels a side.
pub const SIDE: usize = 32;
/// Bytes of a picture.
pub const PIXELS: usize = 3 * SIDE * SIDE;

/// What of a record is a picture's class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Labels before a picture.
    pub labels: usize,
    /// Which of them is the class.
    pub label: usize,
    /// K.
    pub classes: usize,
}

/// The records of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    layout: Layout,
    bytes: Vec<u8>,
}

impl Records {
    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// If they are no whole records, or a label is none of the classes.
    pub fn parse(bytes: Vec<u8>, layout: Layout) -> Result<Self, String> {
        let record = layout.labels + PIXELS;
        if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
            let hint = stein_record::file::page_hint(&bytes);
            return Err(format!("it has {} bytes, which are no whole records of {record}{hint}", bytes.len()));
        }
        let records = Self { layout, bytes };
        match (0..records.count()).find(|&i| usize::from(records.label(i)) >= layout.classes) {
            Some(i) => {
                let (label, most) = (records.label(i), layout.classes - 1);
                Err(format!("the label of picture {i} is {label}; they are 0 to {most}"))
            }
            None => Ok(records),
        }
    }

    /// N.
    pub fn count(&self) -> usize {
        self.bytes.len() / (self.layout.labels + PIXELS)
    }

    /// The class of picture `i`.
    ///
    /// # Panics
    /// If there is no such picture.
    pub fn label(&self, i: usize) -> u8 {
        self.bytes[i * (self.layout.labels + PIXELS) + self.layout.label]
    }

    /// Picture `i`, channel first.
    ///
    /// # Panics
    /// If there is no such picture.
    pub fn picture(&self, i: usize) -> &[u8] {
        let at = i * (self.layout.labels + PIXELS) + self.layout.labels;
        &self.bytes[at..at + PIXELS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_labels_and_pictures() {
        let record = |coarse: u8, fine: u8| [vec![coarse, fine], vec![fine; PIXELS - 1], vec![9]].concat();
        let bytes = [record(3, 77), record(19, 5)].concat();
        let fine = Records::parse(bytes.clone(), Layout { labels: 2, label: 1, classes: 100 }).unwrap();
        assert_eq!((fine.count(), fine.label(0), fine.label(1)), (2, 77, 5));
        assert_eq!((fine.picture(1)[0], fine.picture(1)[PIXELS - 1]), (5, 9));
        let coarse = Records::parse(bytes.clone(), Layout { labels: 2, label: 0, classes: 20 }).unwrap();
        assert_eq!((coarse.label(0), coarse.label(1)), (3, 19));
        let few = Records::parse(bytes.clone(), Layout { labels: 2, label: 0, classes: 19 }).unwrap_err();
        assert!(few.contains("picture 1 is 19; they are 0 to 18"), "{few}");
        let other = Layout { labels: 1, label: 0, classes: 10 };
        assert!(Records::parse(bytes, other).unwrap_err().contains("6148 bytes, which are no whole records of 3073"));
        assert!(Records::parse(Vec::new(), other).is_err());
        assert!(Records::parse(b"<html>".to_vec(), other).unwrap_err().contains("web page"));
    }
}
