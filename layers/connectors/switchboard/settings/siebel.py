"""`settings/siebel`: the names under which this Siebel keeps what the connector reads and writes.

The defaults are the names of the documented objects where there are any. Each business component has the
fields as a record shows them; `search` names those that a search specification calls differently (Siebel has
two vocabularies). Of what is UNVERIFIED, `docs/siebel.md` has the list.
"""

from typing import Annotated, Literal

from pydantic import Field

from switchboard.models import ApiModel

type SiebelName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\[\]\"'\x00-\x1f]+$")]
"""A field's or an object's name: nothing that could end it in a search specification."""

type Resource = Annotated[str, Field(pattern=r"^[A-Za-z0-9 _.&#-]{1,100}/[A-Za-z0-9 _.&#-]{1,100}$")]
"""`<business object>/<business component>`, or `<business service>/<method>`."""

type ViewMode = Literal["Personal", "Sales Rep", "Manager", "Organization", "Group", "Catalog", "All"]


class Component(ApiModel):
    """A business component: where it is, whose records are seen, what a search calls its fields."""

    resource: Resource
    view_mode: ViewMode = "All"
    search: Annotated[dict[SiebelName, SiebelName], Field(max_length=50)] = {}


class ContactFields(ApiModel):
    """A customer's fields."""

    key: SiebelName = "Integration Id"
    first_name: SiebelName = "First Name"
    last_name: SiebelName = "Last Name"
    email: SiebelName = "Email Address"
    phone: SiebelName = "Cellular Phone #"
    company: SiebelName = "Company"
    country: SiebelName = "Country"


class Contacts(Component):
    """Customers."""

    resource: Resource = "Contact/Contact"
    fields: ContactFields = ContactFields()


class ProfileFields(ApiModel):
    """A social profile's fields; Author and Community are documented."""

    author: SiebelName = "Author"
    community: SiebelName = "Community"
    contact_id: SiebelName = "Contact Id"


class Profiles(Component):
    """The social profiles of customers."""

    resource: Resource = "Contact/SM Contact Social Profile"
    fields: ProfileFields = ProfileFields()


class RequestFields(ApiModel):
    """A case's fields."""

    key: SiebelName = "Integration Id"
    contact_id: SiebelName = "Contact Id"
    subject: SiebelName = "Abstract"
    description: SiebelName = "Description"
    channel: SiebelName = "Source"
    status: SiebelName = "Status"
    priority: SiebelName = "Priority"
    owner: SiebelName = "Owner"
    conversation: SiebelName = "Customer Ref Number"
    last_activity: SiebelName = "Last Activity Date"


class Requests(Component):
    """Cases."""

    resource: Resource = "Service Request/Service Request"
    view_mode: ViewMode = "Organization"
    fields: RequestFields = RequestFields()
    open_status: SiebelName = "Open"


class ActivityFields(ApiModel):
    """A followup's fields."""

    key: SiebelName = "Integration Id"
    request_id: SiebelName = "Activity SR Id"
    body: SiebelName = "Comment"


class Activities(Component):
    """Followups."""

    resource: Resource = "Service Request/Action"
    fields: ActivityFields = ActivityFields()


class TaskFields(ApiModel):
    """A task's fields."""

    contact_id: SiebelName = "Contact Id"
    request_id: SiebelName = "Activity SR Id"
    subject: SiebelName = "Description"
    kind: SiebelName = "Type"
    status: SiebelName = "Status"
    due: SiebelName = "Due"


class Tasks(Component):
    """Tasks: the activities of a contact that belong to no case. UNVERIFIED."""

    resource: Resource = "Contact/Action"
    fields: TaskFields = TaskFields()


class SurveyFields(ApiModel):
    """The fields of an activity that stands for a survey's invitation or response."""

    key: SiebelName = "Integration Id"
    contact_id: SiebelName = "Contact Id"
    kind: SiebelName = "Type"
    subject: SiebelName = "Description"
    body: SiebelName = "Comment"


class Surveys(Component):
    """Survey invitations and responses: activities of a contact, of types of their own. UNVERIFIED."""

    resource: Resource = "Contact/Action"
    fields: SurveyFields = SurveyFields()
    invitation: SiebelName = "Survey Invitation"
    response: SiebelName = "Survey Response"


class SystemFields(ApiModel):
    """What Siebel keeps of every record."""

    created: SiebelName = "Created"
    updated: SiebelName = "Updated"
    changes: SiebelName = "Mod Id"


class LeadFields(ApiModel):
    """A lead's fields, in the record and in the `Lead IO` of CreateLeads."""

    key: SiebelName = "Integration Id"
    external_id: SiebelName = "Lead External Id"
    contact_id: SiebelName = "Contact Id"
    first_name: SiebelName = "First Name"
    last_name: SiebelName = "Last Name"
    email: SiebelName = "Email Address"
    phone: SiebelName = "Phone Number"
    company: SiebelName = "Company"
    country: SiebelName = "Country"
    source_code: SiebelName = "Source Code"
    owner: SiebelName = "Owner"
    comments: SiebelName = "Comments"


class Leads(Component):
    """Leads, made by the business service, read as records."""

    resource: Resource = "Lead/Lead"
    fields: LeadFields = LeadFields()
    create: Resource = "SocialMediaService/CreateLeads"


class CampaignFields(ApiModel):
    """A campaign's fields."""

    source_id: SiebelName = "Source Id"
    name: SiebelName = "Campaign Name"
    type: SiebelName = "Type"
    status: SiebelName = "Status"
    start_date: SiebelName = "Start Date"
    end_date: SiebelName = "End Date"


class Campaigns(Component):
    """Campaigns, listed by the business service, read as records."""

    resource: Resource = "Campaign/Campaign"
    fields: CampaignFields = CampaignFields()
    query: Resource = "SocialMediaService/GetCampaigns"
    page_size: SiebelName = "Page Size"


class MemberFields(ApiModel):
    """A loyalty member's fields; CT Sync Status and CT Sync Error are documented, the rest is UNVERIFIED."""

    number: SiebelName = "Member Number"
    first_name: SiebelName = "First Name"
    last_name: SiebelName = "Last Name"
    email: SiebelName = "Email Address"
    phone: SiebelName = "Phone"
    postal_code: SiebelName = "Postal Code"
    date_of_birth: SiebelName = "Birth Date"
    city: SiebelName = "City"
    state: SiebelName = "State"
    country: SiebelName = "Country"
    email_opt_in: SiebelName = "Email Opt In"
    sync_status: SiebelName = "CT Sync Status"
    sync_error: SiebelName = "CT Sync Error"
    profile: SiebelName = "CT Profile"
    segments: SiebelName = "CT Segments"


class Members(Component):
    """Loyalty members."""

    resource: Resource = "LOY Member/LOY Member"
    fields: MemberFields = MemberFields()


class Assignment(ApiModel):
    """Siebel's Assignment Manager, asked for a case or a lead that no rule of ours assigns."""

    enabled: bool = True
    method: Resource = "Synchronous Assignment Manager Requests/Assign"
    request_object: SiebelName = "Service Request"
    lead_object: SiebelName = "Lead"


class SiebelSettings(ApiModel):
    """The area `siebel`."""

    contacts: Contacts = Contacts()
    profiles: Profiles = Profiles()
    requests: Requests = Requests()
    activities: Activities = Activities()
    tasks: Tasks = Tasks()
    surveys: Surveys = Surveys()
    leads: Leads = Leads()
    campaigns: Campaigns = Campaigns()
    members: Members = Members()
    assignment: Assignment = Assignment()
    system: SystemFields = SystemFields()
