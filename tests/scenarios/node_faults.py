"""Everything that nodes do to us, each with its rate: one by one in a test, and mixed in the chaos."""

FAULTS = {
    "notifications lost": {"notificationsLost": 0.5},
    "notifications doubled": {"notificationsDoubled": 1},
    "notifications late": {"notificationsLate": {"rate": 0.5, "amount": 0.5}},
    "notifications out of order": {"notificationsOutOfOrder": 0.5},
    "sockets closed": {"socketsClosed": 0.2},
    "sockets silent": {"socketsSilent": {"rate": 0.2, "count": 3}},
    "sockets deaf": {"socketsDeaf": {"rate": 0.2, "count": 3}},
    "too many requests": {"tooManyRequests": {"rate": 0.3, "amount": 0.1}},
    "server errors": {"serverErrors": 0.3},
    "time-outs": {"timeouts": {"rate": 0.05, "amount": 1.0}},
    "malformed answers": {"malformedAnswers": 0.3},
    "null transactions": {"nullTransactions": 0.5},
    "truncated pages": {"truncatedPages": 0.7},
    "empty pages": {"emptyPages": 0.5},
    "node behind": {"nodeBehindSlots": 5},
    "node behind, by error": {"rpcErrors": {"rate": 0.3, "amount": 32005}},
    "context slot not reached": {"rpcErrors": {"rate": 0.3, "amount": 32016}},
    "no history on this node": {"rpcErrors": {"rate": 0.3, "amount": 32011}},
    "latency": {"latencySeconds": {"rate": 1, "amount": 0.05}},
    "batches rejected": {"batchesRejected": 1},
}
