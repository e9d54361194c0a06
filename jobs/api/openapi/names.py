"""Names and constants by which generated clients tell things apart: the last step, when all else is there."""

from typing import Any

# As drf-spectacular derives it → as a client's class should be called.
NAMES = {
    "ApiKeyRequestRequest": "ApiKeyRequest",
    "AssetRequestRequest": "AssetRequest",
    "Attempt": "DeliveryAttempt",
    "BoxRequest": "Box",
    "InvitationRequestRequest": "InvitationRequest",
    "JobFormRequest": "JobForm",
    "JobRequestRequest": "JobRequest",
    "Key": "CurrentKey",
    "Left": "PlanBalance",
    "Notice": "EstimateWarning",
    "Output": "JobOutput",
    "PatchedJobChangeRequest": "JobChange",
    "PatchedWebhookChangeRequest": "WebhookChange",
    "PatchedRoleRequestRequest": "RoleChange",
    "RotationRequestRequest": "KeyRotation",
    "SecretRotationRequest": "SecretRotation",
    "Upload": "AssetUpload",
    "Usage": "JobUsage",
    "WebhookRequestRequest": "WebhookRequest",
    "Window": "JobWindow",
}
# The value of `object`, which says what an answer is, where no serializer's default has it.
OBJECTS = {"Asset": "asset", "Estimate": "estimate", "Job": "job", "Me": "me", "UsageReport": "usage"}
REFERENCE = "#/components/schemas/"


def add_names(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Rename components wherever they are referred to; give `object` its value, and the document a server."""
    schemas = result["components"]["schemas"]
    for name, schema in schemas.items():
        if described := schema.get("properties", {}).get("object"):
            value = described.get("default") or OBJECTS[name]
            schema["properties"]["object"] = {"type": "string", "const": value}
    result["components"]["schemas"] = {NAMES.get(name, name): schema for name, schema in schemas.items()}
    result["servers"] = [{"url": "/", "description": "The deployment that serves this document."}]
    _rename(result)
    return result


def _rename(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _rename(item)
    elif isinstance(node, dict):
        name = str(node.get("$ref", "")).removeprefix(REFERENCE)
        if name in NAMES:
            node["$ref"] = REFERENCE + NAMES[name]
        for item in node.values():
            _rename(item)
