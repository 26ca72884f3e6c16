from lib.upstreams.chatglm.wire.signing import check_digit_timestamp, sign

SECRET = "8a1317a7468aa3ad86e997d08f3f31cb"


def test_the_recorded_request_is_signed_as_the_browser_signed_it() -> None:
    # 2026-09-30, a real request of the web application.
    assert sign(1790732179905, "75988225830f4d93b6702dcd0a2e9baf", SECRET) == {
        "X-Timestamp": "1790732179905",
        "X-Nonce": "75988225830f4d93b6702dcd0a2e9baf",
        "X-Sign": "a32ee7a2876ad44e6658475f0a7c69eb",
    }


def test_the_second_to_last_digit_becomes_the_check_digit_of_the_others() -> None:
    # 1+7+9+0+7+3+2+1+7+9+9+5 = 60, whatever stood in its place.
    assert {check_digit_timestamp(1790732179905 + 10 * step) for step in range(10)} == {"1790732179905"}
    assert check_digit_timestamp(1790732179986) == "1790732179916"
