"""The decode for CPUs, compiled where a C++ compiler was at hand when adgram was installed; see library.load."""
