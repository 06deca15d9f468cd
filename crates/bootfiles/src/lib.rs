//! bootfiles
