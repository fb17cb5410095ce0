//! Checkpoints as PyTorch wrote them (`tests/fuzz/torch_seeds.py`), and damaged ones.

use std::io::Cursor;

use super::*;

const ZIP: &[u8] = include_bytes!("../../../../tests/fuzz/seeds/torch/zip");
const LEGACY: &[u8] = include_bytes!("../../../../tests/fuzz/seeds/torch/legacy");
const PROTOCOL_5: &[u8] = include_bytes!("../../../../tests/fuzz/seeds/torch/protocol-5");

fn read(bytes: &[u8]) -> Result<Checkpoint, String> {
    Checkpoint::read(Cursor::new(bytes.to_vec()))
}

fn array(checkpoint: &mut Checkpoint, path: &str, name: &str) -> Result<Array, String> {
    let tables = checkpoint.tables();
    let table = tables.iter().find(|table| table.path == path).expect("a table");
    let (_, tensor) = table.tensors.iter().find(|(n, _)| &**n == name).expect("a tensor");
    checkpoint.array(tensor, 100)
}

#[test]
fn both_containers_hold_what_was_saved() {
    for bytes in [ZIP, LEGACY, PROTOCOL_5] {
        let mut checkpoint = read(bytes).unwrap();
        let paths: Vec<String> = checkpoint.tables().into_iter().map(|table| table.path).collect();
        assert_eq!(paths, ["0", "5", "1/state/0", "1/state/1"]);
        assert_eq!((checkpoint.integer("2"), checkpoint.integer("3")), (Some(3), Some(40)));
        assert_eq!((checkpoint.integer("4"), checkpoint.integer("9"), checkpoint.integer("0/a")), (None, None, None));
        let mut of = |name: &str| array(&mut checkpoint, "0", &format!("module.{name}")).unwrap();
        assert_eq!(of("weight"), Array::new([2, 3], vec![0., 0.5, 1., 1.5, 2., 2.5]));
        assert_eq!(of("transposed"), Array::new([3, 2], vec![6., 9., 7., 10., 8., 11.]));
        assert_eq!(of("tied"), Array::new([6], vec![6., 7., 8., 9., 10., 11.]));
        assert_eq!(of("expanded"), Array::new([2, 2], vec![7.5; 4]));
        assert_eq!(of("scalar"), Array::new([], vec![-1.25]));
        assert_eq!(of("empty"), Array::new([0, 3], vec![]));
        assert_eq!(of("half").data, [1.5, -(2f32.powi(-24)), f32::INFINITY]);
        assert_eq!(of("bfloat").data, [1.5, -3.0]);
        assert_eq!(of("double").data, [0.1, -2.0]);
        assert_eq!(of("long").data, [1.0, -(2f32.powi(40))]);
        assert_eq!(of("byte").data, [0.0, 255.0]);
        assert_eq!(of("bool").data, [1.0, 0.0]);
        let average = array(&mut checkpoint, "5", "weight").unwrap();
        assert_eq!(average, Array::new([2, 3], vec![0.25; 6]));
        let tables = checkpoint.tables();
        let said = checkpoint.array(&tables[1].tensors[0].1, 5).unwrap_err();
        assert!(said.contains("6 numbers; at most 5"), "{said}");
    }
}

#[test]
fn what_would_run_code_is_a_name() {
    // cos\nsystem\n of one text, put into a list with an object of a class.
    let evil = b"\x80\x02]q\x00(cos\nsystem\nX\x04\x00\x00\x00true\x85Rcbuiltins\neval\n)\x81}Xk\x00\x00\x00";
    assert!(pickled(evil).unwrap_err().contains("cut off"));
    let evil = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.";
    let said = pickled(evil).unwrap();
    assert!(said.contains("os.system") && said.contains("is not made"), "{said}");
    // What such an object would be given is dropped, what it gives is not called.
    for evil in [
        &b"\x80\x02cos\nsystem\n)R)R}b."[..],
        b"\x80\x02cbuiltins\nlist\n)\x81(K\x01K\x02e.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93)}\x92.",
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\ncx\ny\n)}tR.",
    ] {
        assert!(pickled(evil).unwrap().contains("is not made"), "{evil:?}");
    }
}

/// What a pickle's value is.
fn pickled(bytes: &[u8]) -> Result<String, String> {
    let mut tree = Tree::default();
    let root = pickle::read(&mut &bytes[..], &mut tree)?;
    Ok(tree.kind(root))
}

#[test]
fn machines_that_go_wrong_are_told() {
    for (bytes, problem) in [
        (&b""[..], "cut off"),
        (b"\x80\x02", "cut off"),
        (b"\x80\x09.", "protocol 9"),
        (b"\x80\x02.", "empty stack"),
        (b"\x80\x02K\x01(0", "empty stack"),
        (b"\x80\x02t", "no mark"),
        (b"\x80\x02K\x01a", "empty stack"),
        (b"\x80\x02K\x01K\x02a", "what is no list"),
        (b"\x80\x02}(K\x01u", "no value"),
        (b"\x80\x02K\x01(K\x01K\x02u", "what is no dictionary"),
        (b"\x80\x02h\x00", "in the memo"),
        (b"\x80\x02I1\n.", "none of the opcodes"),
        (b"\x80\x02K\x01)R.", "no global"),
        (b"\x80\x02cos\nsystem\nK\x01R.", "without a tuple"),
        (b"\x80\x02K\x01Q.", "no tuple"),
        (b"\x80\x02U\x04evilctorch\nFloatStorage\nU\x010U\x03cpuK\x01tQ.", "no mark"),
        (b"\x80\x02(U\x04evilctorch\nFloatStorage\nU\x010U\x03cpuK\x01tQ.", "persistent id of evil"),
        (b"\x80\x02X\xff\xff\xff\x7fabc", "cut off"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc", "cut off"),
        (b"\x80\x02\x8b\xff\xff\xff\xff", "cut off"),
    ] {
        let said = pickled(bytes).unwrap_err();
        assert!(said.contains(problem), "{bytes:?}: {said}, not {problem}");
    }
    assert!(pickled(&[&b"\x80\x02c"[..], &[b'x'; 5000]].concat()).unwrap_err().contains("too long"));
}

#[test]
fn depth_and_number_are_bounded() {
    // A list in a list in a list …, which a reader that calls itself would not survive.
    let deep = [&b"\x80\x02"[..], &b"]".repeat(300_000), &b"a".repeat(299_999), b"."].concat();
    assert_eq!(pickled(&deep).unwrap(), "a list");
    // One that holds itself, over and over.
    let mut round = Checkpoint { root: 0, ..read(ZIP).unwrap() };
    round.tree = Tree::default();
    round.root =
        pickle::read(&mut &b"\x80\x02]q\x00(h\x00h\x00X\x01\x00\x00\x00ah\x00e."[..], &mut round.tree).unwrap();
    assert!(round.tables().is_empty());
    // Copies of a long list, four bytes each.
    let pair = b"K\x01K\x02\x86q\x01]q\x02(";
    let list = [&b"\x80\x02"[..], pair, &b"h\x01".repeat(5000), b"e0"].concat();
    let copies = b"ccollections\nOrderedDict\nq\x00h\x02\x85R0".repeat(10_000);
    let said = pickled(&[&list[..], &copies].concat()).unwrap_err();
    assert!(said.contains("more than"), "{said}");
    let many = [&b"\x80\x02"[..], &b"N".repeat(5 << 20), b"."].concat();
    assert!(pickled(&many).unwrap_err().contains("more than"));
}

#[test]
fn damage_is_told_apart() {
    for (bytes, problem) in [
        (b"".to_vec(), "no checkpoint of PyTorch"),
        (b"<html>".to_vec(), "no checkpoint of PyTorch"),
        ([&[0; 257][..], b"ustar\0"].concat(), "tar archive"),
        (LEGACY[..300].to_vec(), "cut off"),
        (LEGACY[..LEGACY.len() - 1].to_vec(), "cut off"),
        (b"\x80\x02K\x01.".to_vec(), "magic number"),
        (ZIP[..ZIP.len() - 30].to_vec(), "cut off"),
        (ZIP[..400].to_vec(), "cut off"),
        (b"PK\x03\x04".to_vec(), "cut off"),
        (b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(), "no checkpoint"),
    ] {
        let said = read(&bytes).unwrap_err();
        assert!(said.contains(problem), "{said}, not {problem}");
    }
    // A number of a tensor, whose sum tells.
    let at = ZIP.windows(4).position(|w| w == 1.5f32.to_le_bytes()).expect("a number of the weights");
    let mut flipped = ZIP.to_vec();
    flipped[at] ^= 1;
    let mut checkpoint = read(&flipped).unwrap();
    for _ in 0..2 {
        let said = array(&mut checkpoint, "0", "module.weight").unwrap_err();
        assert!(said.contains("checksum"), "{said}");
    }
    assert!(array(&mut checkpoint, "0", "module.half").is_ok(), "another storage");
}

#[test]
fn no_damage_is_a_panic() {
    let mut noise = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise as usize
    };
    for bytes in [ZIP, LEGACY, PROTOCOL_5] {
        for _ in 0..3000 {
            let mut damaged = bytes.to_vec();
            for _ in 0..1 + next() % 4 {
                let at = next() % damaged.len();
                damaged[at] = next() as u8;
            }
            damaged.truncate(damaged.len() - [0, next() % damaged.len()][usize::from(next() % 4 == 0)]);
            let Ok(mut checkpoint) = read(&damaged) else { continue };
            for table in checkpoint.tables() {
                for (_, tensor) in table.tensors {
                    if let Ok(array) = checkpoint.array(&tensor, 1000) {
                        assert_eq!(array.shape, tensor.shape());
                    }
                }
            }
        }
    }
}

#[test]
fn compressed_archives_and_other_zips_are_told() {
    assert!(read(&zip(&[("x/readme", b"x", 0)])).unwrap_err().contains("no data.pkl"));
    assert!(read(&zip(&[("x/data.pkl", b"x", 8)])).unwrap_err().contains("zip -0"));
    assert!(read(&zip(&[("a/data.pkl", b"N.", 0), ("b/data.pkl", b"N.", 0)])).unwrap_err().contains("several"));
    assert!(read(&zip(&[("a/data.pkl", b"N.", 0), ("a/data.pkl", b"N.", 0)])).unwrap_err().contains("two entries"));
    assert!(read(&zip(&[("a/data.pkl", b"N.", 0), ("a/byteorder", b"middle", 0)])).unwrap_err().contains("byte order"));
    // Any prefix, or none.
    for prefix in ["", "archive/", "a/b/"] {
        let checkpoint = read(&zip(&[(&format!("{prefix}data.pkl"), b"\x80\x02K\x07.", 0)])).unwrap();
        assert!(checkpoint.tables().is_empty() && checkpoint.kind() == "an integer");
    }
}

#[test]
fn big_endian_numbers_are_turned() {
    let pickle = b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n\
        X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00K\x01\x85K\x01\x85\x89NtRs.";
    let [little, big] = [1.5f32.to_le_bytes(), 1.5f32.to_be_bytes()];
    for (order, number) in [(&b"little"[..], little), (b"big", big)] {
        let bytes = zip(&[("a/data.pkl", pickle, 0), ("a/byteorder", order, 0), ("a/data/0", &number, 0)]);
        let mut checkpoint = read(&bytes).unwrap();
        assert_eq!(array(&mut checkpoint, ".", "w").unwrap().data, [1.5]);
    }
    let without = zip(&[("a/data.pkl", pickle, 0)]);
    assert!(array(&mut read(&without).unwrap(), ".", "w").unwrap_err().contains("not in the file"));
    let short = zip(&[("a/data.pkl", pickle, 0), ("a/data/0", b"abc", 0)]);
    assert!(array(&mut read(&short).unwrap(), ".", "w").unwrap_err().contains("too few"));
}

/// A zip of entries as they are, said to be compressed by a method.
fn zip(entries: &[(&str, &[u8], u16)]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for (name, bytes, method) in entries {
        let mut sum = Crc::new();
        sum.update(bytes);
        let (length, at) = (bytes.len() as u32, out.len() as u32);
        let mut common = vec![20, 0, 0, 0];
        common.extend(method.to_le_bytes());
        common.extend([0; 4]);
        common.extend(sum.sum().to_le_bytes());
        common.extend([length.to_le_bytes(), length.to_le_bytes()].concat());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), bytes].concat());
        list.extend([b"PK\x01\x02\x14\0", &common[..], &[0; 10], &at.to_le_bytes(), name.as_bytes()].concat());
    }
    let (at, length, count) = (out.len() as u32, list.len() as u32, entries.len() as u16);
    out.extend(list);
    out.extend([&b"PK\x05\x06\0\0\0\0"[..], &[count.to_le_bytes(), count.to_le_bytes()].concat()].concat());
    out.extend([length.to_le_bytes(), at.to_le_bytes()].concat());
    out.extend([0, 0]);
    out
}
