"Speed beside the peers: each case runs both in one process, one thread, checks that the answers agree, and gives ratios."
