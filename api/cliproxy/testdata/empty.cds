{"version":1,"updated_at":"2026-11-23T09:00:00Z","records":null}
