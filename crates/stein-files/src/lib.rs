//! Readers of data that somebody else wrote: archives, pictures, tables. No burn, so that fuzz targets build in seconds.
//!
//! | module | what it reads |
//! |---|---|
//! | [`tar`] | chosen files of a `.tar.gz`, by their names alone |
//! | [`zip`] | `.zip` archives |
//! | [`cifar`] | the binary version of CIFAR-10 and CIFAR-100 |
//! | [`picture`] | one picture of a size: PNG, JPEG, GIF, BMP, WebP |
//! | [`pictures`] | a folder or archive of them, or a sheet, as one array that is kept |
//! | [`table`] | `.npy`, `.csv` and (cargo feature `parquet`) `.parquet` |
//!
//! Whatever the bytes are, these neither panic nor hang nor allocate what the bytes do not fill, and write nowhere that a name in
//! them says.

#![forbid(unsafe_code)]

pub mod cache;
pub mod cifar;
pub mod picture;
pub mod pictures;
pub mod table;
pub mod tar;
pub mod zip;

#[cfg(test)]
mod test;
