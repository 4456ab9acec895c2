"""The people of the seed world, and how a new person looks."""

from relay.simulator.flavours import DEACTIVATED, EMPTY_EMAIL, FUTURE_DISMISSAL, HIDDEN, IDA, Flavour
from relay.simulator.state import Portal, Record


def add_employees(portal: Portal, flavour: Flavour) -> None:
    """Twelve people, each of the odd kinds among them."""
    ids = [IDA, *range(910234, 910241), EMPTY_EMAIL, 910243, DEACTIVATED, HIDDEN]
    ids[7] = FUTURE_DISMISSAL
    for number, (employee_id, (first, last, title)) in enumerate(zip(ids, flavour.people, strict=True)):
        portal.employees[employee_id] = new_employee(
            portal,
            employee_id=employee_id,
            first=first,
            last=last,
            title=title,
            domain=flavour.domain,
            phone=f"{number + 1:08}",
            prefix=flavour.prefix,
        )
    people = portal.employees
    people[FUTURE_DISMISSAL] |= {
        "deactivationDate": "2027-01-31",
        "terminationTypeId": 3,
        "terminationTypeName": "MARKER-F-termination",
        "deactivationReason": "MARKER-F-reason",
    }
    people[EMPTY_EMAIL]["email"] = ""
    people[910234] |= {"cellPhone": "", "cellPhoneWithoutCountryPrefix": None, "salaryIdentifier": ""}
    # Documented samples come as a date only, without decimals and with seven of them.
    people[910235] |= {"dateTimeCreated": "2016-01-02", "dateTimeModified": "2016-07-11T13:22:00Z"}
    people[DEACTIVATED] |= {
        "isDeactivated": True,
        "deactivationDate": "2026-09-30",
        "dateTimeDeleted": "2026-10-01T06:00:00Z",
        "terminationTypeId": 1,
        "terminationTypeName": "MARKER-F-termination",
        "deactivationReason": "MARKER-F-reason",
    }


def new_employee(
    portal: Portal,
    *,
    employee_id: int,
    first: str,
    last: str,
    title: str = "",
    domain: str = "people.example",
    phone: str = "00000099",
    prefix: str = "+45",
) -> Record:
    """A person with every field of both views and a marker wherever one fits."""
    boss = 910239 if employee_id != 910239 else None
    return {
        "id": employee_id,
        "firstName": first,
        "lastName": last,
        "userName": f"MARKER-D-{employee_id}@{domain}",
        "email": f"{first.lower()}@{domain}",
        "departments": [4101 + employee_id % 3],
        "primaryDepartmentId": 4101 + employee_id % 3,
        "employeeGroups": [5201 + employee_id % 4, 5201 + (employee_id + 1) % 4],
        "employeeTypeId": 72 if employee_id % 10 == 9 else 71,
        "isPublic": None,
        "hiredDate": "2024-03-01",
        "hiredFrom": "2024-03-01",
        "deactivationDate": None,
        "terminationTypeId": None,
        "terminationTypeName": None,
        "deactivationReason": None,
        "salaryIdentifier": f"MARKER-E-{employee_id % 10000:04}",
        "supervisorId": 801 if boss else None,
        "supervisorEmployeeId": boss,
        "securityGroups": [1],
        "cellPhone": f"{prefix}{phone}",
        "cellPhoneWithoutCountryPrefix": phone,
        "cellPhoneCountryPrefix": prefix,
        "cellPhoneCountryCode": portal.info["country"],
        "phone": "",
        "phoneWithoutCountryPrefix": "",
        "phoneCountryPrefix": None,
        "phoneCountryCode": None,
        "street1": "MARKER-D-street",
        "street2": "",
        "zip": "0000",
        "city": "MARKER-D-city",
        "ssn": "MARKER-F-ssn",
        "birthDate": "1901-02-03",
        "bankAccount": {"registrationNumber": "MARKER-F-reg", "accountNumber": "MARKER-F-account"},
        "jobTitle": title,
        "gender": "Female",
        "countryId": 45,
        "workHours": 120,
        "contractRulesRuleId": 77,
        "skillIds": [],
        "isDeactivated": False,
        "custom_1001": {"name": "MARKER-F-customname", "type": "Text", "value": "MARKER-F-custom", "url": None},
        "custom_1002": {"name": "Size", "type": "Dropdown", "value": "MARKER-F-dropdown", "url": None},
        "dateTimeCreated": "2024-02-20T09:00:00Z",
        "dateTimeModified": "2026-10-20T08:14:09.1234567Z",
        "dateTimeDeleted": None,
    }
