"""Random lives of wrapped-SOL accounts, lamports moved out of sight included, against a model of the token program.

The model knows what happened; the decoder sees only what a node tells.
"""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.observation import Kind
from tests.support.handwritten_transactions import FEE, Call, Handwritten, address, key, name_of, token
from tests.support.handwritten_transactions import close as close_call
from tests.support.handwritten_transactions import create as create_call
from tests.support.handwritten_transactions import initialize as initialize_call
from tests.support.handwritten_transactions import pay as pay_call
from tests.support.handwritten_transactions import sync as sync_call
from tests.support.handwritten_transactions import transfer as transfer_call
from tests.support.handwritten_transactions import unwrap as unwrap_call

OLD_RENT = 2_039_280
RENTS = [OLD_RENT, 203_928]
EXISTING, FRESH = ("old0", "old1"), ("new0", "new1")
ACCOUNTS = (*EXISTING, *FRESH)


@dataclass
class Life:
    """A wrapped-SOL account as the program keeps it."""

    owner: str
    amount: int
    reserve: int


@dataclass
class Model:
    """The token program and everybody's lamports; `calls` are what a node would show of it, with how deep."""

    rent: int
    lives: dict[str, Life] = field(default_factory=dict)
    lamports: dict[str, int] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    transfers: list[tuple] = field(default_factory=list)
    moved: list[tuple] = field(default_factory=list)

    def give(self, source, destination, lamports):
        self.lamports[source] = self.lamports.get(source, 0) - lamports
        self.lamports[destination] = self.lamports.get(destination, 0) + lamports

    # Each step of the random story; those that the program would refuse are left out.

    def pay(self, account, lamports):
        self.give("payer", account, lamports)
        self.calls.append(pay_call("payer", account, lamports))
        self.moved.append((Kind.NATIVE_TRANSFER, "payer", account, lamports))

    def credit(self, account, lamports):
        """Another program moves lamports by itself: nothing shows it."""
        self.give("pool", account, lamports)

    def open(self, account, lamports, owner):
        if account in self.lives or account in EXISTING:
            return
        missing = max(self.rent - self.lamports.get(account, 0), 0) + lamports
        self.give("payer", account, missing)
        self.calls += [create_call("payer", account, missing), initialize_call(account, "wsol", owner)]
        self.lives[account] = life = Life(owner, self.lamports[account] - self.rent, self.rent)
        self.moved.append((Kind.WRAP, None, account, life.amount))

    def sync(self, account):
        if life := self.lives.get(account):
            life.reserve = self.rent
            found = self.lamports[account] - self.rent - life.amount
            life.amount += found
            self.moved.append((Kind.WRAP, None, account, found))
            self.calls.append(sync_call(account))

    def move(self, account, other, share):
        source, destination = self.lives.get(account), self.lives.get(other)
        if source and destination:
            amount = source.amount * share // 4
            source.amount -= amount
            destination.amount += amount
            self.give(account, other, amount)
            self.calls.append(transfer_call(account, other, amount, owner=source.owner))
            self.moved.append((Kind.TRANSFER, account, other, amount))
            self.transfers.append((account, other, source.owner, destination.owner, amount))

    def unwrap(self, account, other, share):
        if life := self.lives.get(account):
            amount = life.amount * share // 4
            life.amount -= amount
            self.moved.append((Kind.UNWRAP, account, None, amount))
            self.give(account, other, amount)
            self.calls.append(unwrap_call(account, other, None if share == 4 else amount, owner=life.owner))

    def close(self, account, other):
        if account != other and (life := self.lives.pop(account, None)):
            self.moved.append((Kind.CLOSE, account, None, life.amount))
            self.give(account, other, self.lamports[account])
            self.calls.append(close_call(account, other, owner=life.owner))

    def hand_over(self, account, owner):
        if life := self.lives.get(account):
            self.calls.append(token("spl", b"\x06\x02\x01" + key(owner), account, life.owner))
            life.owner = owner


ACCOUNT, OTHER = st.sampled_from(ACCOUNTS), st.sampled_from([*ACCOUNTS, "payer"])
OWNER, SHARE = st.sampled_from(["ann", "bob"]), st.integers(0, 4)
LAMPORTS = st.one_of(st.integers(0, 3), st.integers(0, 5_000_000))
STEP = st.one_of(
    st.tuples(st.just("pay"), ACCOUNT, LAMPORTS),
    st.tuples(st.just("credit"), ACCOUNT, LAMPORTS),
    st.tuples(st.just("open"), st.sampled_from(FRESH), LAMPORTS, OWNER),
    st.tuples(st.just("sync"), ACCOUNT),
    st.tuples(st.just("move"), ACCOUNT, ACCOUNT, SHARE),
    st.tuples(st.just("unwrap"), ACCOUNT, OTHER, SHARE),
    st.tuples(st.just("close"), ACCOUNT, OTHER),
    st.tuples(st.just("hand_over"), ACCOUNT, OWNER),
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rent=st.sampled_from(RENTS),
    amounts=st.tuples(LAMPORTS, LAMPORTS),
    unsynced=st.tuples(LAMPORTS, LAMPORTS),
    prefunded=LAMPORTS,
    steps=st.lists(STEP, min_size=1, max_size=25),
    split=st.integers(0, 25),
)
def test_every_life_of_wrapped_accounts_is_decoded(rent, amounts, unsynced, prefunded, steps, split):
    model = Model(rent)
    model.lamports = {"payer": 10**12, "pool": 10**12, "new0": prefunded}
    for name, amount, more in zip(EXISTING, amounts, unsynced, strict=True):
        model.lives[name] = Life("ann", amount, OLD_RENT)
        model.lamports[name] = OLD_RENT + amount + more
    before = {name: life.amount for name, life in model.lives.items()}
    lamports_before = dict(model.lamports)
    for step, *arguments in steps:
        getattr(model, step)(*arguments)

    sheet = Handwritten()
    for name in ("payer", "pool", *ACCOUNTS):
        fee = FEE if name == "payer" else 0
        sheet.holds(name, lamports_before.get(name, 0), model.lamports.get(name, 0) - fee)
    for name in ACCOUNTS:
        life = model.lives.get(name)
        if name in before or life:
            owner = "ann" if name in EXISTING else "?", life.owner if life else "?"
            sheet.account(name, "wsol", before.get(name), life.amount if life else None, owner=owner)
    sheet.calls(*model.calls[:split])
    for call in model.calls[split:]:
        sheet.does(call)
    seen = sheet.decoded()

    assert seen.unexplained == ()
    assert [
        (*map(name_of, (m.source, m.destination, m.source_owner, m.destination_owner)), m.amount)
        for m in seen.transfers
        if m.kind is not Kind.NATIVE_TRANSFER
    ] == model.transfers
    if rent == OLD_RENT and not any(step == "credit" for step, *_ in steps):
        # Nothing happened out of sight: every single step has its true size.
        sized = (Kind.WRAP, Kind.UNWRAP, Kind.CLOSE)
        assert [(m.kind, *map(name_of, (m.source, m.destination)), m.amount) for m in seen.movements] == [
            moved for moved in model.moved if moved[0] not in sized or moved[-1]
        ]
    assert len({m.path for m in seen.movements}) == len(seen.movements)
    assert all(m.amount >= 0 and m.fee == 0 for m in seen.movements)
    for name in ACCOUNTS:
        mine = [m for m in seen.movements if m.kind is not Kind.NATIVE_TRANSFER]
        moved = sum(m.amount for m in mine if m.destination == address(name))
        moved -= sum(m.amount for m in mine if m.source == address(name))
        life = model.lives.get(name)
        assert moved == (life.amount if life else 0) - before.get(name, 0)
