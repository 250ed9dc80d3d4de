"""What a plan of Postgres, as `EXPLAIN (ANALYZE, FORMAT JSON)` gives it, has read of tables that grow."""


async def plan_of(connection, queries, name, given):
    """The plan of a named statement, run with what it needs of `given`; what is missing there is null."""
    names = dict.fromkeys(queries.driver_adapter.var_sorted[name])
    explained = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {getattr(queries, name).sql}"
    (row,) = await connection.fetch(explained, *(given.get(one) for one in names))
    return row[0][0]["Plan"]


def rows_read(plan, relations):
    """How many rows were read of these tables, those that were dropped again included."""
    below = sum(rows_read(part, relations) for part in plan.get("Plans", ()))
    if plan.get("Relation Name") not in relations:
        return below
    dropped = sum(count for name, count in plan.items() if name.startswith("Rows Removed"))
    return below + (plan["Actual Rows"] + dropped) * plan["Actual Loops"]


def read_whole(plan, relations):
    """Those of the tables that were read from one end to the other."""
    is_whole = plan["Node Type"] == "Seq Scan" and plan["Relation Name"] in relations
    below = [one for part in plan.get("Plans", ()) for one in read_whole(part, relations)]
    return [plan["Relation Name"], *below] if is_whole else below
