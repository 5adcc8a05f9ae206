//! The versions of the container format.

/// The version of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Written by django-dbs 0.1.0 to 0.6.0.
    V1,
    /// Written by django-dbs 0.7.0.
    V2,
    /// Our own.
    V3,
}

impl Version {
    /// The number as it stands in the file.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Version::V1 => 1,
            Version::V2 => 2,
            Version::V3 => 3,
        }
    }
}
