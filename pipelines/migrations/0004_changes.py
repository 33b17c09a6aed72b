"""What definitions and connections have been."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import pipelines.models.connection
import simple_history.models
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pipelines', '0003_run_history'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='HistoricalConnection',
            fields=[
                ('id', models.UUIDField(db_index=True, default=uuid.uuid4, editable=False)),
                ('name', models.CharField(db_index=True, help_text='Lower-case letters, digits, hyphens and underscores; pipelines refer to it.', max_length=63, validators=[django.core.validators.RegexValidator('^[a-z0-9_-]{1,63}\\Z', 'Use 1 to 63 lower-case letters, digits, hyphens and underscores.')], verbose_name='name')),
                ('host', models.CharField(blank=True, help_text='Host name or IP address, one only.', max_length=255, verbose_name='host')),
                ('port', models.PositiveIntegerField(default=5432, help_text="PostgreSQL's port, usually 5432.", validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(65535)], verbose_name='port')),
                ('dbname', models.CharField(blank=True, help_text='Name of the database.', max_length=63, verbose_name='database')),
                ('user', models.CharField(blank=True, help_text='The role to sign in as. For a source, a role that may only SELECT is best.', max_length=63, verbose_name='user')),
                ('sslmode', models.CharField(choices=[('disable', 'disable: never encrypted'), ('prefer', 'prefer: encrypted when the server offers it'), ('require', 'require: encrypted, server not verified'), ('verify-ca', 'verify-ca: encrypted, certificate authority verified'), ('verify-full', 'verify-full: encrypted, host name verified too')], default='require', help_text="Use verify-full when the server's certificate can be verified.", max_length=16, verbose_name='TLS')),
                ('target_schemas', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=63), blank=True, default=pipelines.models.connection.default_schemas, help_text='Schemas that pipelines may write to, separated by commas. Empty: this connection is never a target.', size=None, verbose_name='target schemas')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'kept connection',
                'verbose_name_plural': 'kept connections',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalPipeline',
            fields=[
                ('id', models.UUIDField(db_index=True, default=uuid.uuid4, editable=False)),
                ('name', models.CharField(db_index=True, help_text='Unique, for people: film_dim_full.', max_length=200, verbose_name='name')),
                ('description', models.TextField(blank=True, help_text='What the table is for and who relies on it.', verbose_name='description')),
                ('type', models.CharField(choices=[('SQL', 'SQL'), ('PYTHON', 'PYTHON')], default='SQL', help_text='SQL: rows pass through unchanged from the query to the table.', max_length=16, verbose_name='type')),
                ('mode', models.CharField(choices=[('full', "full: the table becomes the query's result"), ('incremental', 'incremental: rows changed since the last run')], default='full', help_text="Full replaces the table's contents; incremental adds and updates rows.", max_length=16, verbose_name='mode')),
                ('enabled', models.BooleanField(default=True, help_text='A disabled pipeline cannot be run.', verbose_name='enabled')),
                ('source_query', models.TextField(help_text='One SELECT. Every output column needs a name of its own.', verbose_name='source query')),
                ('target_table', models.CharField(help_text="schema.table; created from the query's columns when it does not exist.", max_length=300, verbose_name='target table')),
                ('batch_size', models.PositiveIntegerField(default=5000, help_text='Rows moved in one transaction, 1 to 1,000,000.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000000)], verbose_name='batch size')),
                ('incremental_key', models.CharField(blank=True, help_text='Column whose growing value says “changed since”: modified. Incremental only.', max_length=63, null=True, verbose_name='incremental key')),
                ('key_columns', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=63), blank=True, default=list, help_text='Columns that identify a row, separated by commas. Empty: the primary key of the target table.', size=None, verbose_name='key columns')),
                ('publish', models.CharField(choices=[('auto', 'auto: swap where nothing depends on the table, else merge, else replace'), ('swap', "swap: a new table takes the old one's place"), ('merge', 'merge: delete, update and insert only what differs (needs a key)'), ('replace', 'replace: delete all and insert all in one transaction')], default='auto', help_text='How a full load becomes visible; auto chooses what keeps everything intact.', max_length=16, verbose_name='publish')),
                ('allow_empty', models.BooleanField(default=False, help_text='Let a full load of 0 rows empty a table that has rows.', verbose_name='allow empty')),
                ('allow_cascade', models.BooleanField(default=False, help_text='Let deleted rows pass on to other tables through their foreign keys.', verbose_name='allow cascade')),
                ('max_shrink_percent', models.PositiveSmallIntegerField(blank=True, help_text='Refuse a full load that would leave the table smaller by more than this share of its rows, 0 to 99. Empty: no limit.', null=True, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(99)], verbose_name='largest shrink, %')),
                ('null_policy', models.CharField(choices=[('fail', 'fail: stop the run, say how many there are'), ('include', 'include: move them again in every run'), ('exclude', 'exclude: leave them out')], default='fail', help_text='What to do with rows whose incremental key is NULL or infinite.', max_length=16, verbose_name='NULL policy')),
                ('late_margin', models.CharField(blank=True, help_text='Read again what is this much older than the checkpoint: 10 minutes, 1 day, or a number. Empty: chosen automatically. Applications that fill the key themselves need more than their longest transaction.', max_length=100, null=True, verbose_name='late margin')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('source_connection', models.ForeignKey(blank=True, db_constraint=False, help_text='Where the query runs, read-only.', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pipelines.connection', verbose_name='source connection')),
                ('target_connection', models.ForeignKey(blank=True, db_constraint=False, help_text='Where the table is written.', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pipelines.connection', verbose_name='target connection')),
            ],
            options={
                'verbose_name': 'kept definition',
                'verbose_name_plural': 'kept definitions',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
    ]
