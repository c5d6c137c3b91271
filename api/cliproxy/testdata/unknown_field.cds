{"version":1,
"records":[{"auth_id":"a"},
{"auth_id":"b","strikes":3}]}