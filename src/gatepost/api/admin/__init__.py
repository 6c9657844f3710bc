"""The native API, one file for each section of the contract."""
