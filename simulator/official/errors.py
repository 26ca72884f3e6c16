"""The official API's errors (official.md §5): codes, their HTTP status, and our own words for them."""

from __future__ import annotations

from simulator.steps import Json, Reply

ERRORS: dict[str, tuple[int, str]] = {
    "1000": (401, "Authentication Failed"),
    "1001": (401, "Authorization was not received in the header"),
    "1002": (401, "The Authorization token is invalid"),
    "1003": (401, "The Authorization token has expired"),
    "1110": (401, "The account is inactive"),
    "1112": (401, "The account is locked"),
    "1113": (429, "Insufficient balance or no resource package. Please recharge."),
    "1120": (403, "The account cannot be accessed"),
    "1121": (403, "The account was locked for a violation"),
    "1210": (400, "Invalid API parameter, please check the documentation."),
    "1211": (400, "Unknown Model, please check the model code."),
    "1212": (400, "The model does not support this method"),
    "1213": (400, "A parameter was not received"),
    "1214": (400, "A parameter is invalid"),
    "1215": (400, "Two parameters contradict each other"),
    "1220": (403, "You do not have permission to access this API"),
    "1222": (404, "API not found"),
    "1231": (400, "The request_id was used before"),
    "1234": (500, "Network error, error id: 2026112800000000000000"),
    "1200": (500, "Internal error"),
    "1230": (500, "The API call failed"),
    "500": (500, "Internal server error"),
    "1261": (400, "Prompt is too long"),
    "1300": (400, "The call was blocked by policy"),
    "1301": (400, "The system detected potentially unsafe or sensitive content"),
    "1302": (429, "High concurrency usage of this API, please reduce concurrency"),
    "1303": (429, "High frequency usage of this API, please reduce frequency"),
    "1304": (429, "The daily limit of this API was reached"),
    "1305": (429, "The model is currently overloaded, please try again later"),
    "1308": (429, "Usage limit reached for 5 hour. Your limit will reset at {reset}"),
    "1309": (429, "The plan has expired"),
    "1310": (429, "Weekly limit exhausted. Your limit will reset at {reset}"),
    "1311": (429, "The plan does not include this model"),
    "1312": (429, "The model has too much traffic"),
    "1313": (429, "Your use does not comply with the fair use policy"),
    "1315": (429, "The key belongs to an enterprise plan"),
    "1701": (400, "The web search has too many requests at once"),
    "1702": (400, "No search engine was found"),
    "1703": (400, "The search engine has no result"),
}
CHINESE_RESET = "已达到 5 小时的使用上限。您的限额将在 {reset} 重置。"


def error_body(code: str, detail: str = "", *, reset: str = "") -> Json:
    _, words = ERRORS[code]
    message = f"{words}: {detail}" if detail else words
    return {"error": {"code": code, "message": message.replace("{reset}", reset)}}


def error_reply(code: str, detail: str = "", *, reset: str = "") -> Reply:
    return Reply(ERRORS[code][0], error_body(code, detail, reset=reset))


class Refused(Exception):
    """A request that the API refuses."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code} {detail}")
        self.reply = error_reply(code, detail)
