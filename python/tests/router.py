"""Tables of PostgreSQL's own field types exist on PostgreSQL only."""


class Router:
    def allow_migrate(self, db, app_label, **hints):
        if app_label == "pgzoo":
            return db == "postgres"
        return None

    def allow_relation(self, one, other, **hints):
        return True
