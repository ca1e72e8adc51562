"""The query of api/access/tokens.py as a function, because PostgreSQL keeps the plan of a function's query.

Planning the query took most of its time, and every request needs it. The function is for Django's own user model; a
project's own model is asked by Django. A database in which the app's label was `api` has the function already.
"""

from django.conf import settings
from django.db import migrations

CREATE = """
CREATE OR REPLACE FUNCTION api_find_token(sent bytea) RETURNS TABLE (
    id bigint, scope text, is_to_be_noted boolean, permissions varchar[],
    user_id bigint, is_superuser boolean, username varchar, is_staff boolean, is_active boolean
) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN RETURN QUERY
    SELECT token.id, token.scope, token.last_used_at IS NULL OR token.last_used_at < now() - interval '1 minute',
        ARRAY(
            SELECT codename FROM auth_permission
            WHERE content_type_id = ANY(ARRAY(SELECT id FROM django_content_type WHERE app_label = 'etl'))
                AND id = ANY(ARRAY(
                    SELECT permission_id FROM auth_user_user_permissions WHERE user_id = token.user_id
                    UNION ALL
                    SELECT permission_id FROM auth_group_permissions
                    WHERE group_id = ANY(ARRAY(SELECT group_id FROM auth_user_groups WHERE user_id = token.user_id))
                ))
        ),
        person.id::bigint, person.is_superuser, person.username, person.is_staff, person.is_active
    FROM api_tokens AS token JOIN auth_user AS person ON person.id = token.user_id
    WHERE token.digest = sent AND person.is_active
        AND (token.expires_at IS NULL OR token.expires_at > clock_timestamp());
END $$
"""



def create(apps, schema_editor):
    if settings.AUTH_USER_MODEL == "auth.User":
        schema_editor.execute(CREATE, params=None)


def drop(apps, schema_editor):
    schema_editor.execute("DROP FUNCTION IF EXISTS api_find_token(bytea)")


class Migration(migrations.Migration):
    dependencies = [("kasparro_api", "0002_groups")]
    operations = [migrations.RunPython(create, drop)]
