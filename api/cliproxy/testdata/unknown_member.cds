{"version":1,"records":[],"shape":"round"}
