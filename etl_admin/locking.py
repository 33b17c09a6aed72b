"""Settings of django-axes, all of them constants: what they lead to is `pipelines.lockout`."""

AXES_HANDLER = "pipelines.lockout.Handler"
AXES_FAILURE_LIMIT = "pipelines.lockout.limit"
AXES_COOLOFF_TIME = "pipelines.lockout.cool_off"
AXES_USERNAME_CALLABLE = "pipelines.lockout.name_of"
AXES_CLIENT_IP_CALLABLE = "pipelines.lockout.address_of"
AXES_LOCKOUT_CALLABLE = "pipelines.lockout.answer"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_SENSITIVE_PARAMETERS = ["username", "csrfmiddlewaretoken"]
# The audit has who signed in; the admin's page of lock-outs is ours.
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
