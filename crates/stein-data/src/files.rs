//! Where data that are not embedded are had, and how they are known to be whole.

use std::io::{BufReader, ErrorKind};
use std::path::Path;

use stein_files::tar::{self, Member};
use stein_record::{RecordError, atomic, file, hash, idx};

/// A set that comes as files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSet {
    /// The kind of data source that reads it.
    pub kind: &'static str,
    /// Where that looks for it, if it is not told otherwise.
    pub folder: &'static str,
    /// Where the files are had, the first that answers: a file's name comes after each.
    pub mirrors: &'static [&'static str],
    /// The files.
    pub files: &'static [RemoteFile],
    /// What is unpacked of the first of them, where that is an archive; else nothing.
    pub members: &'static [Member],
}

/// A file of a set, as the mirrors have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its name.
    pub name: &'static str,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: &'static str,
    /// The SHA-256 of what is in it, where that will do as well: of an IDX file that came compressed.
    pub content: Option<&'static str>,
}

/// What an archive of CIFAR has, beside the names of classes.
const fn member(name: &'static str, bytes: u64) -> Member {
    Member { name, bytes }
}

const fn remote(name: &'static str, bytes: u64, sha256: &'static str) -> RemoteFile {
    RemoteFile { name, bytes, sha256, content: None }
}

/// One by gzip, which others may have compressed otherwise, or not at all.
const fn compressed(name: &'static str, bytes: u64, sha256: &'static str, content: &'static str) -> RemoteFile {
    RemoteFile { name, bytes, sha256, content: Some(content) }
}

/// Where CIFAR's authors have it.
const KRIZHEVSKY: &str = "https://www.cs.toronto.edu/~kriz/";

/// All sets. The sums are those that TensorFlow Datasets and the sets' own pages have.
pub const SETS: [FileSet; 4] = [
    FileSet {
        kind: "mnist",
        folder: "data/mnist",
        mirrors: &[
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ],
        files: &[
            compressed(
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            compressed(
                "train-labels-idx1-ubyte.gz",
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            compressed(
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            compressed(
                "t10k-labels-idx1-ubyte.gz",
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ],
        members: &[],
    },
    FileSet {
        kind: "fashion-mnist",
        folder: "data/fashion-mnist",
        mirrors: &[
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ],
        files: &[
            compressed(
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            compressed(
                "train-labels-idx1-ubyte.gz",
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            compressed(
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            compressed(
                "t10k-labels-idx1-ubyte.gz",
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ],
        members: &[],
    },
    FileSet {
        kind: "cifar10",
        folder: "data/cifar10",
        mirrors: &[KRIZHEVSKY],
        files: &[remote(
            "cifar-10-binary.tar.gz",
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        )],
        members: &[
            member("data_batch_1.bin", 30_730_000),
            member("data_batch_2.bin", 30_730_000),
            member("data_batch_3.bin", 30_730_000),
            member("data_batch_4.bin", 30_730_000),
            member("data_batch_5.bin", 30_730_000),
            member("test_batch.bin", 30_730_000),
        ],
    },
    FileSet {
        kind: "cifar100",
        folder: "data/cifar100",
        mirrors: &[KRIZHEVSKY],
        files: &[remote(
            "cifar-100-binary.tar.gz",
            168_513_733,
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        )],
        members: &[member("train.bin", 153_700_000), member("test.bin", 30_740_000)],
    },
];

/// The set that a kind of data source reads.
pub fn set(kind: &str) -> Option<&'static FileSet> {
    SETS.iter().find(|set| set.kind == kind)
}

impl FileSet {
    /// Whether all that is unpacked is in a folder; never, where nothing is.
    pub fn is_unpacked(&self, folder: &Path) -> bool {
        let is_there = |member: &Member| folder.join(member.name).metadata().is_ok_and(|m| m.len() == member.bytes);
        !self.members.is_empty() && self.members.iter().all(is_there)
    }

    /// Unpacks what is wanted of an archive that is known to be whole into a folder, each file in one piece.
    ///
    /// # Errors
    /// If it cannot be read or written, or is no such archive.
    pub fn unpack(&self, archive: &Path, folder: &Path) -> Result<(), RecordError> {
        let absent = || RecordError::io(archive, "read", std::io::Error::from(ErrorKind::NotFound));
        let from = file::open(&file::named(archive))?.ok_or_else(absent)?;
        let write = |i: usize, bytes: Vec<u8>| {
            atomic::write(&folder.join(self.members[i].name), &bytes).map_err(Unpacking::File)
        };
        tar::members(BufReader::new(from), self.members, write).map_err(|problem| match problem {
            Unpacking::Archive(problem) => RecordError::damaged(archive, problem),
            Unpacking::File(error) => error,
        })
    }
}

/// Why an archive is not unpacked.
enum Unpacking {
    Archive(String),
    File(RecordError),
}

impl From<String> for Unpacking {
    fn from(problem: String) -> Self {
        Self::Archive(problem)
    }
}

impl RemoteFile {
    /// Whether the file is at `path`, whole; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn is_whole(&self, path: &Path) -> Result<Option<bool>, RecordError> {
        Ok(file::read(&file::named(path), idx::MOST)?.map(|bytes| self.holds(&bytes)))
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == self.bytes && hash::sha256(bytes) == self.sha256
    }

    /// What it is called where it is not compressed.
    pub fn content_name(&self) -> Option<&'static str> {
        self.content.and(self.name.strip_suffix(".gz"))
    }

    /// Whether what is in the file is in this folder, not compressed.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn is_uncompressed(&self, folder: &Path) -> Result<bool, RecordError> {
        let Some(name) = self.content_name() else { return Ok(false) };
        let bytes = file::read(&file::named(&folder.join(name)), idx::MOST)?;
        Ok(bytes.is_some_and(|bytes| self.is_content(&bytes)))
    }

    fn is_content(&self, bytes: &[u8]) -> bool {
        self.content.is_some_and(|sum| hash::sha256(bytes) == sum)
    }

    /// Takes the file from a folder, where somebody else has put it, to another, in one piece and only if it is whole. One that was
    /// compressed otherwise or not at all is taken as it is when it is not compressed.
    ///
    /// # Errors
    /// If there is none, it cannot be read or written, or is another.
    pub fn take_of(&self, from: &Path, to: &Path) -> Result<(), RecordError> {
        let (compressed, name) = (from.join(self.name), self.content_name());
        let read = |path: &Path| file::read(&file::named(path), idx::MOST);
        let unpacked = match (read(&compressed)?, name) {
            (Some(bytes), Some(_)) if !self.holds(&bytes) => idx::inflate(&bytes, idx::MOST).ok(),
            (None, Some(name)) => match read(&from.join(name))? {
                Some(bytes) if !self.is_content(&bytes) => {
                    let (sum, wanted) = (hash::sha256(&bytes), self.content.unwrap_or_default());
                    let what = format!("it is not what {} holds: its SHA-256 is {sum}, not {wanted}", self.name);
                    return Err(RecordError::damaged(from.join(name), what));
                }
                bytes => bytes,
            },
            _ => None,
        };
        match (unpacked.filter(|bytes| self.is_content(bytes)), name) {
            (Some(bytes), Some(name)) => atomic::write(&to.join(name), &bytes),
            _ => self.take(&compressed, &to.join(self.name)),
        }
    }

    /// Takes the file from `from` to `to`, in one piece and only if it is whole.
    ///
    /// # Errors
    /// If there is none, it cannot be read or written, or is another.
    pub fn take(&self, from: &Path, to: &Path) -> Result<(), RecordError> {
        let absent = || RecordError::io(from, "read", std::io::Error::from(ErrorKind::NotFound));
        let bytes = file::read(&file::named(from), idx::MOST)?.ok_or_else(absent)?;
        if !self.holds(&bytes) {
            let (there, wanted) = (bytes.len(), self.bytes);
            let page = file::page_hint(&bytes);
            let what = format!(
                "it is not the file that {} is: it has {there} bytes and the SHA-256 {}, not {wanted} and {}{page}",
                self.name,
                hash::sha256(&bytes),
                self.sha256,
            );
            return Err(RecordError::damaged(from, what));
        }
        atomic::write(to, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: RemoteFile = remote("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

    #[test]
    fn only_the_whole_file_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("set/to"));
        assert!(FILE.take(&from, &to).unwrap_err().to_string().contains("from"));
        for (wrong, said) in [("ab", "2 bytes"), ("abd", "SHA-256"), ("<h>", "web page")] {
            std::fs::write(&from, wrong).unwrap();
            let error = FILE.take(&from, &to).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
            assert_eq!(FILE.is_whole(&to).unwrap(), None, "{wrong}");
            assert_eq!(FILE.is_whole(&from).unwrap(), Some(false));
        }
        std::fs::write(&from, "abc").unwrap();
        FILE.take(&from, &to).unwrap();
        assert_eq!(FILE.is_whole(&to).unwrap(), Some(true));
    }

    /// "abc" by gzip, with another time than whoever made it first; and not compressed.
    #[test]
    fn what_is_compressed_otherwise_is_taken_too() {
        use std::io::Write;
        let other: RemoteFile = compressed("abc.gz", 27, "5d00", FILE.sha256);
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        let gzip = |text: &str| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        assert!(other.take_of(&from, &to).unwrap_err().to_string().contains("abc.gz"));
        for (name, wrong) in [("abc.gz", gzip("abd")), ("abc.gz", b"abc".to_vec()), ("abc", b"abd".to_vec())] {
            std::fs::write(from.join(name), wrong).unwrap();
            let said = other.take_of(&from, &to).unwrap_err().to_string();
            assert!(said.contains("SHA-256") && !to.exists(), "{said}");
            std::fs::remove_file(from.join(name)).unwrap();
        }
        for (name, right) in [("abc.gz", gzip("abc")), ("abc", b"abc".to_vec())] {
            std::fs::write(from.join(name), right).unwrap();
            assert!(!other.is_uncompressed(&to).unwrap());
            other.take_of(&from, &to).unwrap();
            assert_eq!(std::fs::read(to.join("abc")).unwrap(), b"abc");
            assert!(other.is_uncompressed(&to).unwrap());
            std::fs::remove_dir_all(&to).unwrap();
            std::fs::remove_file(from.join(name)).unwrap();
        }
    }

    #[test]
    fn sums_and_names_are_such() {
        for set in SETS {
            assert_eq!(set.files.len(), if set.members.is_empty() { 4 } else { 1 }, "{}", set.kind);
            assert!(set.members.iter().all(|member| file::is_name(member.name) && member.bytes % 10_000 == 0));
            assert!(set.mirrors.iter().all(|mirror| mirror.ends_with('/')));
            for remote in set.files {
                assert!(file::is_name(remote.name) && remote.bytes > 0);
                for sum in [Some(remote.sha256), remote.content].into_iter().flatten() {
                    assert!(sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit()));
                }
                assert_eq!(remote.content.is_some(), set.members.is_empty() && remote.name.ends_with(".gz"));
            }
        }
    }
}
