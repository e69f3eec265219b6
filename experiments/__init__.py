"""One file per table or figure, and the laboratory that they share."""
