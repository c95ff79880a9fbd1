"""Videos restored frame by frame, decoded and encoded in processes of their own."""
