//! Version 1, as django-dbs 0.1.0 to 0.6.0 wrote it.
