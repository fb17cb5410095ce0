//! The last frame of a GIF.

use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder as _, ImageDecoder as _, RgbaImage};

/// A larger picture was not written by stein.
const MOST_PIXELS: u32 = 2048;
/// Nor were more frames.
const MOST_FRAMES: usize = 500;

/// The last frame; `None` if the file is no GIF that can be read.
pub(crate) fn last_frame(gif: &[u8]) -> Option<RgbaImage> {
    // Decoding all frames for the last one would be a third of the work of a page.
    let alone = alone(gif);
    let decoder = GifDecoder::new(Cursor::new(alone.as_deref().unwrap_or(gif))).ok()?;
    let (width, height) = decoder.dimensions();
    if width > MOST_PIXELS || height > MOST_PIXELS {
        return None;
    }
    Some(decoder.into_frames().take(MOST_FRAMES).map_while(Result::ok).last()?.into_buffer())
}

/// The same file with its last frame only, where that hides all that is under it.
fn alone(gif: &[u8]) -> Option<Vec<u8>> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3usize << ((flags & 7) + 1) };
    let screen = 13 + table(*gif.get(10)?);
    let (mut at, mut control, mut last) = (screen, None, None);
    loop {
        match *gif.get(at)? {
            // An extension; 0xf9 controls the image that follows.
            0x21 => {
                let end = after_blocks(gif, at + 2)?;
                if *gif.get(at + 1)? == 0xf9 {
                    control = Some(at..end);
                }
                at = end;
            }
            // An image: its place, its colours, and how long its codes are.
            0x2c => {
                let end = after_blocks(gif, at + 11 + table(*gif.get(at + 9)?))?;
                last = Some((control.take(), at..end));
                at = end;
            }
            0x3b => break,
            _ => return None,
        }
    }
    let (control, image) = last?;
    let is_whole =
        gif[image.start + 1..image.start + 5] == [0; 4] && gif[image.start + 5..image.start + 9] == gif[6..10];
    let control = control.map_or(&[][..], |range| &gif[range]);
    let is_opaque = control.get(3).is_none_or(|flags| flags & 1 == 0);
    (is_whole && is_opaque).then(|| [&gif[..screen], control, &gif[image], &[0x3b]].concat())
}

/// Where sub-blocks end, each of which begins with its length, the last with 0.
fn after_blocks(gif: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *gif.get(at)? {
            0 => return Some(at + 1),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::gif::GifEncoder;
    use image::{Frame, Rgba};

    use super::*;

    /// A frame of one colour with another in its corner.
    fn gif(colours: &[[u8; 4]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new_with_speed(&mut bytes, 10);
        for colour in colours {
            let mut picture = RgbaImage::from_pixel(40, 30, Rgba([200, 10, 10, 255]));
            picture.put_pixel(3, 4, Rgba(*colour));
            encoder.encode_frame(Frame::new(picture)).unwrap();
        }
        drop(encoder);
        bytes
    }

    #[test]
    fn the_last_frame_is_as_if_all_were_decoded() {
        let (green, blue) = ([0, 200, 0, 255], [0, 0, 200, 255]);
        let bytes = gif(&[green, green, blue]);
        let short = alone(&bytes).expect("three whole frames");
        assert!(short.len() < bytes.len() / 2 && alone(&short).as_deref() == Some(&short));
        let all = GifDecoder::new(Cursor::new(&bytes)).unwrap().into_frames().map(Result::unwrap);
        let frames: Vec<RgbaImage> = all.map(|frame| frame.into_buffer()).collect();
        assert_eq!(frames.len(), 3);
        assert_eq!(last_frame(&bytes).as_ref(), frames.last());
        assert_ne!(last_frame(&bytes).as_ref(), frames.first());
    }

    #[test]
    fn what_shines_through_is_kept() {
        // The last frame is clear in the corner, where the first one's colour shows.
        let bytes = gif(&[[0, 200, 0, 255], [0, 0, 0, 0]]);
        assert_eq!(alone(&bytes), None);
        assert!(last_frame(&bytes).is_some());
    }

    #[test]
    fn what_is_no_gif_has_no_frame() {
        let bytes = gif(&[[0, 200, 0, 255]]);
        for end in 0..bytes.len() - 1 {
            assert_eq!(alone(&bytes[..end]), None);
            last_frame(&bytes[..end]);
        }
        assert_eq!((last_frame(b""), last_frame(b"GIF89a")), (None, None));
    }
}
