import base64
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from nacl.signing import VerifyKey

from signal_admin.accounts import all_account_claims, exports, has_same_content, imports, next_issue_time
from signal_admin.claims import operator_claims, signed_jwt, user_claims
from signal_contract.creds import claims_of
from signal_contract.errors import NameInvalid
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.permissions import ROLES, RoleName
from signal_contract.topology import Account

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def part(jwt: str, index: int) -> bytes:
    text = jwt.split(".")[index]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def raw_key(public: str) -> bytes:
    return base64.b32decode(public + "=" * (-len(public) % 8))[1:33]


@pytest.fixture
def keys() -> dict[Account, str]:
    return {account: KeyPair.generate(KeyKind.ACCOUNT).public for account in Account}


@pytest.fixture
def role_keys() -> dict[RoleName, str]:
    return {role: KeyPair.generate(KeyKind.ACCOUNT).public for role in RoleName}


def test_a_jwt_is_signed_by_its_issuer_over_header_and_claims():
    signer = KeyPair.generate(KeyKind.ACCOUNT)
    jwt = signed_jwt({"sub": "X", "iat": 1}, signer)
    assert orjson.loads(part(jwt, 0)) == {"typ": "JWT", "alg": "ed25519-nkey"}
    assert orjson.loads(part(jwt, 1))["iss"] == signer.public
    VerifyKey(raw_key(signer.public)).verify(jwt.rsplit(".", 1)[0].encode(), part(jwt, 2))


def test_the_id_depends_on_every_claim_and_on_nothing_else():
    signer = KeyPair.generate(KeyKind.ACCOUNT)
    one, same, other = (signed_jwt({"sub": "X", "iat": iat}, signer) for iat in (1, 1, 2))
    assert one == same
    assert claims_of(one)["jti"] != claims_of(other)["jti"]
    assert len(claims_of(one)["jti"]) == 52  # base32 of sha512/256


def test_user_claims_are_these_bytes():
    claims = user_claims("UKEY", name="alice", role=RoleName.SUBSCRIBER, account="AKEY", issued_at=NOW)
    assert orjson.dumps(claims) == (
        b'{"iat":1772461800,"sub":"UKEY","name":"alice","nats":{"pub":{},"sub":{},"issuer_account":"AKEY",'
        b'"tags":["role:subscriber"],"type":"user","version":2}}'
    )


def test_an_expiry_is_a_claim_in_whole_seconds():
    end = NOW + timedelta(days=90)
    claims = user_claims("U", name="alice", role=RoleName.SUBSCRIBER, account="A", issued_at=NOW, expires_at=end)
    assert claims["exp"] == int(end.timestamp())


def test_an_expiry_in_the_past_is_refused():
    with pytest.raises(ValueError, match="after the issue time"):
        user_claims("U", name="alice", role=RoleName.SUBSCRIBER, account="A", issued_at=NOW, expires_at=NOW)


@pytest.mark.parametrize("name", [">", "*", "a b", "a.b", "", "A", "-a", "x" * 33, "al\nice"])
def test_a_name_that_the_template_would_turn_into_a_wildcard_is_refused(name):
    with pytest.raises(NameInvalid):
        user_claims("U", name=name, role=RoleName.SUBSCRIBER, account="A", issued_at=NOW)


def test_a_user_jwt_stays_below_one_kilobyte():
    user, account, signer = (KeyPair.generate(kind) for kind in (KeyKind.USER, KeyKind.ACCOUNT, KeyKind.ACCOUNT))
    claims = user_claims(
        user.public,
        name="a" * 32,
        role=RoleName.SUBSCRIBER,
        account=account.public,
        issued_at=NOW,
        expires_at=NOW + timedelta(days=3650),
    )
    assert len(signed_jwt(claims, signer)) < 1024


def test_a_naive_issue_time_is_refused():
    with pytest.raises(ValueError, match="aware"):
        user_claims("U", name="al", role=RoleName.SUBSCRIBER, account="A", issued_at=NOW.replace(tzinfo=None))


def test_the_operator_insists_on_signing_keys():
    claims = operator_claims("O", name="catalyst", signing_keys=("OS",), system_account="ASYS", issued_at=NOW)
    assert claims["nats"]["strict_signing_key_usage"] is True
    assert claims["nats"]["signing_keys"] == ["OS"]
    assert claims["nats"]["system_account"] == "ASYS"


def test_only_signals_has_jetstream(keys, role_keys):
    limits = {name: claims["nats"]["limits"] for name, claims in all_account_claims(keys, role_keys, NOW).items()}
    assert [name for name in limits if limits[name].get("disk_storage")] == [Account.SIGNALS]


def test_every_role_is_a_scope_in_its_account_and_there_is_no_plain_signing_key(keys, role_keys):
    for account, claims in all_account_claims(keys, role_keys, NOW).items():
        scopes = claims["nats"]["signing_keys"]
        assert {each["role"] for each in scopes} == {r.value for r in RoleName if ROLES[r].account is account}
        for scope in scopes:
            role = ROLES[RoleName(scope["role"])]
            assert scope["key"] == role_keys[role.name]
            assert scope["template"]["pub"] == {"allow": list(role.publish)}
            assert scope["template"]["sub"] == {"allow": list(role.subscribe)}
            assert scope["template"]["allowed_connection_types"] == ["STANDARD", "WEBSOCKET"]


def test_no_account_admits_leaf_nodes(keys, role_keys):
    assert all(claims["nats"]["limits"]["leaf"] == 0 for claims in all_account_claims(keys, role_keys, NOW).values())


def test_every_import_has_an_export_and_none_is_called_js_api_locally():
    offered = {(each["subject"], each["type"]) for each in exports()}
    taken = [each for account in Account for each in imports(account, "ASIGNALS")]
    assert {(each["subject"], each["type"]) for each in taken} == offered
    assert len(offered) == len(exports()), "the server refuses a subject that is exported twice"
    assert not any(each.get("local_subject", each["subject"]).startswith("$JS.API") for each in taken)
    assert all(each["account"] == "ASIGNALS" for each in taken)


def test_an_account_imports_what_the_tables_say_and_nothing_else():
    def taken(account):
        return {each.get("local_subject", each["subject"]) for each in imports(account, "ASIGNALS")}

    assert taken(Account.SYS) == taken(Account.SIGNALS) == set()
    assert taken(Account.FRIENDS) == {
        "FEED.CONSUMER.MSG.NEXT.SIGNALS.$1",
        "FEED.CONSUMER.INFO.SIGNALS.$1",
        "$JS.ACK.SIGNALS.*.>",
        "$JS.ACK.*.*.SIGNALS.*.>",
        "feedback.*.>",
        "FEED.FLAGS",
        "heartbeat.>",
    }
    assert taken(Account.OBSERVERS) == {
        "WATCH.STREAM.INFO.SIGNALS",
        "WATCH.CONSUMER.INFO.SIGNALS.$1",
        "WATCH.CONSUMER.LIST.SIGNALS",
        "WATCH.STREAM.INFO.AUDIT",
        "WATCH.STREAM.MSG.GET.AUDIT",
        "WATCH.DIRECT.GET.AUDIT",
        "signals.*.*",
        "control.all.*",
        "control.user.*.*",
        "heartbeat.>",
    }


def test_only_roles_that_write_live_where_jetstream_is():
    inside = {role.name for role in ROLES.values() if role.account is Account.SIGNALS}
    assert inside == {RoleName.PUBLISHER, RoleName.ADMIN}


def test_content_is_compared_without_time_and_id(keys, role_keys):
    signer = KeyPair.generate(KeyKind.OPERATOR)
    wanted = all_account_claims(keys, role_keys, NOW)[Account.FRIENDS]
    later = all_account_claims(keys, role_keys, NOW + timedelta(days=3))[Account.FRIENDS]
    issued = claims_of(signed_jwt(wanted, signer))
    assert has_same_content(issued, later)
    assert not has_same_content(issued, {**later, "name": "OTHER"})


def test_a_changed_jwt_is_always_newer_than_the_last_one_even_when_the_clock_went_back():
    ahead = int((NOW + timedelta(hours=1)).timestamp())
    assert int(next_issue_time({"iat": ahead}, NOW).timestamp()) == ahead + 1
    assert next_issue_time({}, NOW) == NOW
