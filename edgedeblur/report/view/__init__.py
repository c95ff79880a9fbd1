"""The page on which a restoration is compared and corrected by hand."""
