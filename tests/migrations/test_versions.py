"""Up, down and up again on every supported version of Postgres."""

from alembic.script import ScriptDirectory

from migrations import downgrade, revisions, status, upgrade
from runtime.database import open_connection
from tests.migrations.catalog import catalog

# They change rows and no table, so that nothing is there to be seen.
OF_ROWS_ALONE = {"0046"}


async def test_down_leaves_nothing_and_up_makes_the_same_again(fresh_database):
    empty = await catalog(fresh_database)
    after = await upgrade(fresh_database)
    assert after.is_current
    full = await catalog(fresh_database)
    assert {name for kind, name, _ in full if kind == "relation r"} >= {"transfers", "events", "alembic_version"}

    assert (await downgrade(fresh_database, "base")).current is None
    assert await catalog(fresh_database) == empty

    await upgrade(fresh_database)
    assert await catalog(fresh_database) == full


async def test_each_version_can_be_taken_back_and_applied_again(fresh_database):
    while (await status(fresh_database)).pending:
        before = await catalog(fresh_database)
        reached = await upgrade(fresh_database, "+1")
        after = await catalog(fresh_database)
        assert after != before or reached.current in OF_ROWS_ALONE
        returned = await downgrade(fresh_database, "-1")
        assert len(returned.pending) == len(reached.pending) + 1
        assert [row for row in await catalog(fresh_database) if row[1] != "alembic_version"] == [
            row for row in before if row[1] != "alembic_version"
        ]
        await upgrade(fresh_database, "+1")
        assert await catalog(fresh_database) == after


async def test_the_largest_amount_fits(fresh_database):
    await upgrade(fresh_database)
    async with open_connection(fresh_database) as connection:
        await connection.execute(
            "INSERT INTO transfers (signature, path, slot, kind, program, mint, source, amount)"
            " VALUES ($1, '2.0.1', 1, 'transfer', $2, $2, $2, $3)",
            "5" * 88,
            "1" * 32,
            2**64 - 1,
        )
        assert await connection.fetchval("SELECT amount FROM transfers") == 2**64 - 1


def test_every_version_is_three_files_in_one_line_of_descent():
    scripts = ScriptDirectory(str(revisions.VERSIONS.parent))
    walked = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(walked)) == revisions.known_revisions()
    names = {path.name.partition(".")[0] for path in revisions.VERSIONS.glob("0*.up.sql")}
    for name in names:
        for ending in (".py", ".up.sql", ".down.sql"):
            assert (revisions.VERSIONS / f"{name}{ending}").is_file()
