//! Readers of data that somebody else wrote: archives, pictures, tables. No burn, so that fuzz targets build in seconds.
//!
//! | module | what it reads |
//! |---|---|
//! | [`tar`] | chosen files of a `.tar.gz`, by their names alone |
//! | [`cifar`] | the binary version of CIFAR-10 and CIFAR-100 |
//!
//! Whatever the bytes are, these neither panic nor hang nor allocate what the bytes do not fill, and write nowhere that a name in
//! them says.

#![forbid(unsafe_code)]

pub mod cifar;
pub mod tar;

#[cfg(test)]
mod test;
