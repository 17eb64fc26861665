"""From a partner's SFTP directory to a whole file on this machine."""
