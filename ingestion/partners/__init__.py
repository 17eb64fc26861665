"""Partner files: from an SFTP directory to landing, each accounted for in `ops.partner_file`."""
