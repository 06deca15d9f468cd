//! Loaders and sample images from Debian's packages.
