//! What tests make.

use std::io::Write;

/// What gzip makes of bytes.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A tar archive of files; a name that ends in a slash is a folder's.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, data) in files {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
        header[156] = if name.ends_with('/') { b'5' } else { b'0' };
        seal(&mut header);
        out.extend(header);
        out.extend(*data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.extend([0; 1024]);
    out
}

/// Gives a header its sum.
pub(crate) fn seal(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A zip archive of files, each compressed by a method; `large` with numbers in zip64 records.
pub(crate) fn zip(files: &[(&str, &[u8], u16)], large: bool) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for &(name, data, method) in files {
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let packed = if method == 8 { deflate(data) } else { data.to_vec() };
        let at = out.len();
        let sizes = [packed.len(), data.len()].map(|n| n as u32);
        let numbers: Vec<u8> =
            [data.len(), packed.len(), at].into_iter().flat_map(|n| (n as u64).to_le_bytes()).collect();
        let extra = if large { [&[1, 0, 24, 0], &numbers[..]].concat() } else { Vec::new() };
        let about = [&[20, 0, 0, 0][..], &method.to_le_bytes(), &[0; 4], &crc.sum().to_le_bytes()].concat();
        let [name_length, extra_length] = [name.len(), extra.len()].map(|n| (n as u16).to_le_bytes());
        let short = |large: bool| sizes.map(|n| if large { u32::MAX } else { n }.to_le_bytes()).concat();
        out.extend(
            [b"PK\x03\x04", &about[..], &short(false), &name_length, &[0; 2], name.as_bytes(), &packed].concat(),
        );
        let place = if large { u32::MAX } else { at as u32 }.to_le_bytes();
        let head = [b"PK\x01\x02\x14\x00", &about[..], &short(large), &name_length, &extra_length].concat();
        list.extend([&head[..], &[0; 10], &place, name.as_bytes(), &extra].concat());
    }
    let (at, count) = (out.len() as u64, (files.len() as u16).to_le_bytes());
    out.extend(&list);
    let mut end = [list.len() as u32, at as u32];
    if large {
        let record = out.len() as u64;
        out.extend([&b"PK\x06\x06"[..], &44u64.to_le_bytes(), &[0; 28]].concat());
        out.extend([list.len() as u64, at].map(u64::to_le_bytes).concat());
        out.extend([&b"PK\x06\x07"[..], &[0; 4], &record.to_le_bytes(), &[1, 0, 0, 0]].concat());
        end = [u32::MAX; 2];
    }
    out.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count, &end.map(u32::to_le_bytes).concat(), &[0; 2]].concat());
    out
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A PNG of a size, each pixel by its place.
pub(crate) fn png(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 4]) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let picture = image::RgbaImage::from_fn(width, height, |x, y| image::Rgba(pixel(x, y)));
    picture.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}
