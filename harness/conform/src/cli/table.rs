//! `table`: shows several reports in one table.

use std::fs;

use super::args::TableArgs;
use super::failure::Failure;
use super::output;
use crate::exit;
use crate::table::backends::by_backends;
use crate::table::images::by_images;
use crate::table::{TableError, put_between, read};

/// Print the table, or put it into a file.
pub fn table(args: &TableArgs) -> Result<u8, Failure> {
    let reports: Result<Vec<_>, _> = args.files.iter().map(|file| read(file)).collect();
    let reports = reports.map_err(Failure::usage)?;
    let table = if args.by_backend {
        by_backends(&reports, args.every)
    } else {
        by_images(&reports)
    };
    let table = table.map_err(Failure::usage)?;
    let Some(path) = &args.into else {
        output::print(&table)?;
        return Ok(exit::OK);
    };
    let file = path.display().to_string();
    let failed = |source| {
        let file = path.display().to_string();
        Failure::usage(TableError::Io { file, source })
    };
    let text = fs::read_to_string(path).map_err(failed)?;
    let text = put_between(&file, &text, &table).map_err(Failure::usage)?;
    fs::write(path, text).map_err(failed)?;
    Ok(exit::OK)
}
