"""Settings: where they come from, which wins, and what stops the start."""

from pathlib import Path

import pytest

from cronium_app.settings import SettingsError, load_settings


def load(environ=None, root=Path("/nowhere"), **flags):
    return load_settings(flags, environ={"HOME": "/home/x"} | (environ or {}), root=root)


def test_without_anything_the_data_is_in_the_users_folder():
    assert load().data_dir == Path("/home/x/.local/share/cronium")
    assert load({"XDG_DATA_HOME": "/d"}).data_dir == Path("/d/cronium")
    assert load().host == "127.0.0.1"


def test_flag_before_variable_before_what_make_up_remembered_before_the_file(tmp_path):
    (tmp_path / ".cronium.local").write_text(f"PORT=1001\nHOST=0.0.0.0\nDATA={tmp_path}\n")
    (tmp_path / "cronium.toml").write_text("port = 1000\nslots = 3\n")
    assert load(root=tmp_path).port == 1001
    assert load(root=tmp_path).slots == 3
    assert load(root=tmp_path).data_dir == tmp_path
    assert load({"CRONIUM_PORT": "1002"}, tmp_path).port == 1002
    assert load({"CRONIUM_PORT": "1002"}, tmp_path, port=1003).port == 1003
    assert load({"CRONIUM_HOST": "::1"}, tmp_path).host == "::1"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", "http://127.0.0.1:81"),
        ("0.0.0.0", "http://127.0.0.1:81"),
        ("", "http://127.0.0.1:81"),
        ("::", "http://[::1]:81"),
        ("::1", "http://[::1]:81"),
        ("cron.example", "http://cron.example:81"),
    ],
)
def test_an_address_that_means_everywhere_is_printed_as_one_that_can_be_opened(host, local):
    settings = load().model_copy(update={"host": host})
    assert settings.local_url(81) == local
    assert settings.is_everywhere == (host in ("", "0.0.0.0", "::"))


def test_links_for_people_use_the_address_that_people_use():
    assert load(public_url="https://cron.example/").people_url(81) == "https://cron.example"
    assert load(host="0.0.0.0").people_url(81) == "http://127.0.0.1:81"


def test_an_empty_variable_is_none_and_those_of_the_client_are_left_alone():
    assert load({"CRONIUM_PORT": "", "CRONIUM_URL": "x", "CRONIUM_TOKEN": "y"}).port == 8080


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"CRONIUM_PROT": "1"}, "no setting CRONIUM_PROT"),
        ({"CRONIUM_port": "1"}, "no setting CRONIUM_port"),
        ({"CRONIUM_PORT": "70000"}, "CRONIUM_PORT ('70000') is not usable"),
        ({"CRONIUM_LOG_LEVEL": "loud"}, "CRONIUM_LOG_LEVEL"),
        ({"CRONIUM_DATABASE_URL": "mysql://u:hunter2@x"}, "SQLite or PostgreSQL"),
        ({"CRONIUM_CONFIG": "/no/such.toml"}, "/no/such.toml (CRONIUM_CONFIG) is missing"),
    ],
)
def test_a_typo_or_a_wrong_value_is_one_sentence(environ, words):
    with pytest.raises(SettingsError) as caught:
        load(environ)
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_typo_in_the_file_is_named(tmp_path):
    (tmp_path / "cronium.toml").write_text("prot = 1\n")
    with pytest.raises(SettingsError, match="'prot'"):
        load(data_dir=str(tmp_path))


def test_a_secret_is_never_shown():
    settings = load({"CRONIUM_SECRET_KEY": "hunter2", "CRONIUM_ADMIN_PASSWORD": "hunter2"})
    assert "hunter2" not in repr(settings)


def test_log_level_may_be_written_either_way():
    assert load({"CRONIUM_LOG_LEVEL": "DEBUG"}).log_level == "debug"


def test_an_empty_address_is_sqlite_in_the_data_folder():
    settings = load(data_dir="/d")
    assert settings.resolved_database_url() == "sqlite+aiosqlite:////d/cronium.db"
    assert settings.is_sqlite
