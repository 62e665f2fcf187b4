"""``regad-batch``: an archive of images judged into one table, on this machine or by Ray on many."""
