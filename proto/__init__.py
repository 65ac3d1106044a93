"""The wire: our .proto files, their generated stubs, and codecs to core's types both ways."""
