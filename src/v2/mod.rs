//! Version 2, as django-dbs 0.7.0 wrote it.
