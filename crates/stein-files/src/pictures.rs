//! Many pictures as one array: those of a folder, of a zip archive, or of a sheet, kept in a file beside them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stein_record::{RecordError, file};

use crate::cache;
use crate::picture::{Form, Sheet, cells, decode_alone, fit};
use crate::zip::{Entry, MOST_FILE, Zip};

/// The most files of pictures.
const MOST_FILES: usize = 1 << 22;
/// The most bytes of all pictures together.
const MOST_BYTES: usize = 1 << 32;
/// Folders in each other.
const MOST_DEPTH: usize = 32;
/// How names of pictures end.
const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "gif", "bmp", "webp"];

/// How pictures are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// What each is made into.
    pub form: Form,
    /// How each file is cut into several pictures, if it is.
    pub sheet: Option<Sheet>,
    /// Whether a picture's class is the folder that it lies in, the first below the one that is read.
    pub classes: bool,
    /// Whether files that are no picture, or a damaged one, are left out.
    pub skip_damaged: bool,
}

/// Pictures of one form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pictures {
    /// Their values, channel first, one picture behind another, `[N, D]`.
    pub pixels: Vec<u8>,
    /// The class of each, `[N]`; empty without classes.
    pub labels: Vec<u32>,
    /// The classes' names, in order.
    pub classes: Vec<String>,
    /// The files that were left out, each with what is wrong with it.
    pub skipped: Vec<String>,
}

/// Where pictures come from.
enum Source {
    Files(Vec<PathBuf>),
    Zip(Zip, Vec<Entry>),
}

/// Why there is nothing of a file.
enum Problem {
    /// It is no picture, or a damaged one, which may be left out.
    Damaged(String),
    /// It cannot be read.
    Io(RecordError),
    /// There are too many.
    Many,
}

/// Reads what is at `path`: a folder with all that is in it, a `.zip`, or one file. Files come in the order of their names. Gives what
/// is to be said of it, too.
///
/// # Errors
/// If there is no picture, or one cannot be read and is not to be left out.
pub fn read(path: &Path, settings: &Settings) -> Result<(Pictures, Vec<String>), RecordError> {
    let (source, names, state) = source(path)?;
    if names.is_empty() {
        return Err(RecordError::damaged(path, format!("there is no picture in it: no {}", ENDINGS.join(", "))));
    }
    let key = cache::key(settings, &state);
    let kept = cache::place(path, &key);
    let mut notes = Vec::new();
    match cache::read(&kept, &key, settings.form.dimension()) {
        Ok(Some(pictures)) => return Ok((pictures, notes)),
        Ok(None) => {}
        Err(problem) => notes.push(format!("{problem}; the pictures are read again")),
    }
    let pictures = decoded(path, &source, &names, settings)?;
    if let Err(problem) = cache::write(&kept, &key, &pictures) {
        notes.push(format!("the pictures are not kept, and are read again next time: {problem}"));
    }
    Ok((pictures, notes))
}

/// The source, the names of its files, and what changes when they do.
fn source(path: &Path) -> Result<(Source, Vec<String>, Vec<String>), RecordError> {
    let about = path.metadata().map_err(|e| match e.kind() {
        ErrorKind::NotFound => RecordError::damaged(path, "there is no such folder, archive or picture"),
        _ => RecordError::io(path, "read", e),
    })?;
    if about.is_dir() {
        let mut found = Vec::new();
        walk(path, "", 0, &mut found)?;
        found.sort();
        let state = found.iter().map(|(name, path)| Ok(format!("{name} {}", state(path)?)));
        let state = state.collect::<Result<_, RecordError>>()?;
        let (names, paths) = found.into_iter().unzip();
        return Ok((Source::Files(paths), names, state));
    }
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zip")) {
        let zip = Zip::open(path)?;
        let shown =
            |entry: &&Entry| is_picture(&entry.name) && !entry.name.split('/').any(|part| part.starts_with('.'));
        let mut entries: Vec<Entry> = zip.entries.iter().filter(shown).cloned().collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let state = entries.iter().map(|e| format!("{} {} {:08x}", e.name, e.bytes, e.crc)).collect();
        let names = entries.iter().map(|e| e.name.clone()).collect();
        return Ok((Source::Zip(zip, entries), names, state));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((Source::Files(vec![path.to_owned()]), vec![name], vec![state(path)?]))
}

/// A file's length and when it was last written.
fn state(path: &Path) -> Result<String, RecordError> {
    let about = path.metadata().map_err(|e| RecordError::io(path, "read", e))?;
    let changed = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    Ok(format!("{} {}", about.len(), changed.unwrap_or_default().as_nanos()))
}

fn is_picture(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// The pictures in a folder and in those in it. Hidden names and folders that are links are left alone: a link may lead back.
fn walk(folder: &Path, above: &str, depth: usize, found: &mut Vec<(String, PathBuf)>) -> Result<(), RecordError> {
    let failed = |e| RecordError::io(folder, "list", e);
    if depth > MOST_DEPTH {
        return Err(RecordError::damaged(folder, format!("folders lie more than {MOST_DEPTH} deep in each other")));
    }
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let (kind, path) = (entry.file_type().map_err(failed)?, entry.path());
        if name.starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            walk(&path, &format!("{above}{name}/"), depth + 1, found)?;
        } else if is_picture(&name) && path.is_file() {
            found.push((format!("{above}{name}"), path));
        }
        if found.len() > MOST_FILES {
            return Err(RecordError::damaged(folder, format!("there are more than {MOST_FILES} pictures in it")));
        }
    }
    Ok(())
}

fn decoded(path: &Path, source: &Source, names: &[String], settings: &Settings) -> Result<Pictures, RecordError> {
    let packed = matches!(source, Source::Zip(..));
    let (classes, class_of) = if settings.classes { classes(path, names, packed)? } else { Default::default() };
    let mut out = Pictures { classes, ..Pictures::default() };
    let total = AtomicUsize::new(0);
    // So many at a time, that files which are bad are told before all others are decoded.
    for (start, some) in names.chunks(1024).enumerate().map(|(i, some)| (1024 * i, some)) {
        let of = |i: usize| (i, bytes(path, source, i).and_then(|bytes| several(&bytes, settings, &total)));
        let several: Vec<_> = (start..start + some.len()).into_par_iter().map(of).collect();
        for (i, pictures) in several {
            match pictures {
                Ok(pixels) => {
                    let count = pixels.len() / settings.form.dimension();
                    out.labels.extend(class_of.get(i).into_iter().flat_map(|&class| std::iter::repeat_n(class, count)));
                    out.pixels.extend(pixels);
                }
                Err(Problem::Damaged(problem)) if settings.skip_damaged => {
                    out.skipped.push(format!("{}: {problem}", names[i]));
                }
                Err(Problem::Damaged(problem)) => {
                    return Err(RecordError::damaged(shown(path, source, &names[i]), problem));
                }
                Err(Problem::Io(error)) => return Err(error),
                Err(Problem::Many) => {
                    let problem = format!("all pictures together have more than {MOST_BYTES} values");
                    return Err(RecordError::damaged(path, problem));
                }
            }
        }
    }
    Ok(out)
}

fn shown(path: &Path, source: &Source, name: &str) -> PathBuf {
    match source {
        Source::Files(paths) if paths.len() == 1 && paths[0] == path => path.to_owned(),
        _ => path.join(name),
    }
}

fn bytes(path: &Path, source: &Source, i: usize) -> Result<Vec<u8>, Problem> {
    match source {
        Source::Zip(zip, entries) => zip
            .tried(&entries[i])
            .map_err(|e| Problem::Io(RecordError::io(path.join(&entries[i].name), "read", e)))?
            .map_err(Problem::Damaged),
        Source::Files(paths) => match file::read(&file::named(&paths[i]), MOST_FILE) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(Problem::Io(RecordError::io(&paths[i], "read", ErrorKind::NotFound.into()))),
            Err(RecordError::Damaged { problem, .. }) => Err(Problem::Damaged(problem)),
            Err(error) => Err(Problem::Io(error)),
        },
    }
}

/// The pictures of a file, one or those of a sheet. Their values are added to the total before there are any.
fn several(bytes: &[u8], settings: &Settings, total: &AtomicUsize) -> Result<Vec<u8>, Problem> {
    // Kept while the picture is.
    let (picture, _alone) = decode_alone(bytes).map_err(Problem::Damaged)?;
    let reserve = |count: usize| {
        let more = count.saturating_mul(settings.form.dimension()).min(MOST_BYTES + 1);
        let before = total.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > MOST_BYTES { Err(Problem::Many) } else { Ok(()) }
    };
    let Some(sheet) = settings.sheet else {
        reserve(1)?;
        return Ok(fit(&picture, &settings.form));
    };
    let found = || cells(&picture, sheet).map_err(Problem::Damaged);
    reserve(found()?.count())?;
    Ok(found()?.flat_map(|cell| fit(&cell.to_image(), &settings.form)).collect())
}

/// The classes' names, and that of each file.
fn classes(path: &Path, names: &[String], packed: bool) -> Result<(Vec<String>, Vec<u32>), RecordError> {
    let mut inner: Vec<&str> = names.iter().map(String::as_str).collect();
    // Who packs a folder has its name before all others.
    while packed && let Some(below) = below_top(&inner) {
        inner = below;
    }
    let folder = |name: &&str| {
        let outside = || format!("{name} lies in no folder of a class");
        name.split_once('/').map(|(folder, _)| folder.to_owned()).ok_or_else(|| RecordError::damaged(path, outside()))
    };
    let folders = inner.iter().map(folder).collect::<Result<Vec<_>, _>>()?;
    let mut classes = folders.clone();
    classes.sort();
    classes.dedup();
    if let [only] = &classes[..] {
        let problem = format!(
            "all pictures lie in one folder, {only:?}; classes = true needs a folder for each of 2 classes or more"
        );
        return Err(RecordError::damaged(path, problem));
    }
    let of = folders.iter().map(|folder| classes.partition_point(|class| class < folder) as u32).collect();
    Ok((classes, of))
}

/// The names without the one folder that all begin with, if each has another below it.
fn below_top<'a>(names: &[&'a str]) -> Option<Vec<&'a str>> {
    let (top, _) = names.first()?.split_once('/')?;
    let below = |(first, rest): (&str, &'a str)| (first == top && rest.contains('/')).then_some(rest);
    names.iter().map(|&name| name.split_once('/').and_then(below)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::{png, zip};

    fn settings() -> Settings {
        let form = Form { height: 2, width: 2, grey: true, background: [0; 3] };
        Settings { form, sheet: None, classes: false, skip_damaged: false }
    }

    /// `b/1.png`, `a/2.PNG` and `a/10.png`, of grey levels 1, 2 and 10, and what is no picture.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: Vec<u8>| {
            let path = folder.path().join("set").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        write("b/1.png", png(4, 4, |_, _| [1, 1, 1, 255]));
        write("a/2.PNG", png(2, 2, |_, _| [2, 2, 2, 255]));
        write("a/10.png", png(2, 2, |_, _| [10, 10, 10, 255]));
        write("a/readme.txt", b"no picture".into());
        write(".hidden.png", b"no picture".into());
        folder
    }

    fn levels(pictures: &Pictures) -> Vec<u8> {
        pictures.pixels.chunks(4).map(|picture| picture[0]).collect()
    }

    #[test]
    fn pictures_come_in_the_order_of_their_names_with_their_classes() {
        let folder = folder();
        let set = folder.path().join("set");
        let (pictures, notes) = read(&set, &settings()).unwrap();
        assert_eq!((levels(&pictures), pictures.labels.len(), notes.len()), (vec![10, 2, 1], 0, 0));
        let with_classes = Settings { classes: true, ..settings() };
        let (pictures, _) = read(&set, &with_classes).unwrap();
        assert_eq!((&pictures.labels[..], &pictures.classes[..]), (&[0, 0, 1][..], &["a".to_owned(), "b".into()][..]));
        std::fs::write(set.join("0.png"), png(2, 2, |_, _| [0; 4])).unwrap();
        assert!(read(&set, &with_classes).unwrap_err().to_string().contains("0.png lies in no folder"));
        // The same out of an archive, whatever its order.
        let one = |level: u8| png(2, 2, move |_, _| [level, level, level, 255]);
        let (one, two, ten) = (one(1), one(2), one(10));
        let path = folder.path().join("set.zip");
        let files =
            [("b/1.png", &one[..], 8), ("a/2.PNG", &two, 0), ("a/10.png", &ten, 8), ("__MACOSX/._1.png", b"x", 0)];
        std::fs::write(&path, zip(&files, false)).unwrap();
        let (packed, _) = read(&path, &with_classes).unwrap();
        assert_eq!(packed, pictures);
        // With the folder itself in it, too.
        let files = [("set/b/1.png", &one[..], 8), ("set/a/2.PNG", &two, 0), ("set/a/10.png", &ten, 8)];
        std::fs::write(&path, zip(&files, false)).unwrap();
        let (packed, _) = read(&path, &with_classes).unwrap();
        assert_eq!(packed, pictures);
        std::fs::write(&path, zip(&files[1..], false)).unwrap();
        let said = read(&path, &with_classes).unwrap_err().to_string();
        assert!(said.contains("one folder, \"a\"; classes = true needs"), "{said}");
    }

    #[test]
    fn too_many_values_are_refused_before_there_are_any() {
        let one = png(2, 2, |_, _| [0, 0, 0, 255]);
        let total = AtomicUsize::new(MOST_BYTES - 4);
        assert!(several(&one, &settings(), &total).is_ok());
        assert!(matches!(several(&one, &settings(), &total), Err(Problem::Many)));
        let form = Form { height: 1 << 15, width: 1 << 15, ..settings().form };
        let sheet = Settings { form, sheet: Some(Sheet { cell: 1, inset: 0 }), ..settings() };
        let five = png(5, 1, |_, _| [0, 0, 0, 255]);
        assert!(matches!(several(&five, &sheet, &AtomicUsize::new(0)), Err(Problem::Many)));
    }

    #[test]
    fn what_cannot_be_reached_is_not_left_out() {
        let folder = folder();
        let gone = Source::Files(vec![folder.path().join("gone.png")]);
        let skipping = Settings { skip_damaged: true, ..settings() };
        let said = decoded(folder.path(), &gone, &["gone.png".into()], &skipping).unwrap_err();
        assert!(matches!(said, RecordError::Io { .. }), "{said}");
    }

    #[test]
    fn what_is_kept_is_used_until_something_changes_and_never_if_damaged() {
        let folder = folder();
        let set = folder.path().join("set");
        let kept = || -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder.path().join(cache::FOLDER)).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect()
        };
        let (first, _) = read(&set, &settings()).unwrap();
        assert_eq!(kept().len(), 1);
        // A picture that is replaced without a trace shows that the kept ones are used.
        let path = set.join("a/2.PNG");
        let (changed, bytes) = (path.metadata().unwrap().modified().unwrap(), std::fs::read(&path).unwrap());
        std::fs::write(&path, vec![0; bytes.len()]).unwrap();
        std::fs::File::options().append(true).open(&path).unwrap().set_modified(changed).unwrap();
        assert_eq!(read(&set, &settings()).unwrap().0, first);
        std::fs::write(&path, &bytes).unwrap();
        for spoil in [&|bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1, &|bytes: &mut Vec<u8>| bytes.truncate(9)]
            as [&dyn Fn(&mut Vec<u8>); 2]
        {
            read(&set, &settings()).unwrap();
            for path in kept() {
                let mut bytes = std::fs::read(&path).unwrap();
                spoil(&mut bytes);
                std::fs::write(&path, bytes).unwrap();
            }
            let (again, notes) = read(&set, &settings()).unwrap();
            assert!(again == first && notes.len() == 1 && notes[0].contains("read again"), "{notes:?}");
            assert!(read(&set, &settings()).unwrap().1.is_empty());
        }
        // Other settings are kept apart.
        let before = kept().len();
        let larger = Settings { form: Form { height: 3, ..settings().form }, ..settings() };
        assert_eq!(read(&set, &larger).unwrap().0.pixels.len(), 3 * 6);
        assert_eq!(kept().len(), before + 1);
    }

    #[test]
    fn what_cannot_be_read_is_named_or_left_out() {
        let folder = folder();
        let set = folder.path().join("set");
        std::fs::write(set.join("a/3.jpg"), "<html>").unwrap();
        let said = read(&set, &settings()).unwrap_err().to_string();
        assert!(said.contains("set/a/3.jpg: it is no picture"), "{said}");
        let (pictures, _) = read(&set, &Settings { skip_damaged: true, ..settings() }).unwrap();
        assert_eq!((levels(&pictures), pictures.skipped.len()), (vec![10, 2, 1], 1));
        assert!(pictures.skipped[0].starts_with("a/3.jpg: it is no picture"));
        let empty = folder.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        assert!(read(&empty, &settings()).unwrap_err().to_string().contains("no picture in it: no png"));
        assert!(read(&folder.path().join("absent"), &settings()).is_err());
    }

    #[test]
    fn a_sheet_is_several_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sheet.png");
        std::fs::write(&path, png(12, 8, |x, y| [x as u8 / 4 + 10 * (y as u8 / 4), 0, 0, 255])).unwrap();
        let form = Form { grey: false, ..settings().form };
        let sheet = Settings { form, sheet: Some(Sheet { cell: 4, inset: 1 }), ..settings() };
        let (pictures, _) = read(&path, &sheet).unwrap();
        let red: Vec<u8> = pictures.pixels.chunks(12).map(|picture| picture[0]).collect();
        assert_eq!(red, [0, 1, 2, 10, 11, 12]);
    }
}
