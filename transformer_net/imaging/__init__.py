"""Pictures: decoding, encoding, pixel layouts, colour spaces and metadata. Imports no torch."""
