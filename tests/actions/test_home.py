"""What the first page shows, and to whom."""

from types import SimpleNamespace

from cronium_app.actions.home import engine
from cronium_app.domain.ids import new_id
from cronium_app.domain.permissions import Actor, Role


def test_images_that_somebody_named_are_for_administrators():
    images = [
        SimpleNamespace(image=name, state="ready", percent=None, text="")
        for name in ("cronium/bash", "cronium/other", "registry.example/secret")
    ]
    state = SimpleNamespace(state="up", detail="", slots=1, free_slots=1, images=images)
    services = SimpleNamespace(orchestrator=SimpleNamespace(engine_state=lambda: state))

    def seen(role: Role) -> list[str]:
        who = Actor(user_id=new_id(), email="x@example.org", role=role)
        return [item.image for item in engine(services, who).images]  # pyright: ignore[reportArgumentType]

    assert seen(Role.USER) == ["cronium/bash"]
    assert len(seen(Role.ADMIN)) == 3
